#!/usr/bin/env bash
# Download parts of EgoDex and convert each straight from its zip; --help tells the rest.
set -euo pipefail

usage() {
    cat <<'END'
Usage: download_and_convert.sh [OPTION…] [PART…] [-- CONVERTER OPTION…]

Download parts of EgoDex (test, part1 … part5, extra; default: test) and convert each, straight from its zip, into a
dataset named egodex_PART. Nothing is unpacked. Run it again after an interruption: downloads and conversions go on
where they were.

  --data_dir DIR      where PART.zip is kept (default: egodex_data)
  --output_dir DIR    where the datasets go (default: egodex_dataset)
  --delete            delete PART.zip once all its selected episodes are converted
  --no_download       read from the server what is needed, store no zip
  --help              this text

What follows -- goes to the converter, for example
  download_and_convert.sh part1 part2 --delete -- --output.max_trajectories=-1

test.zip has 17 GB, extra.zip 200 GB, the others 300 GB each.

Environment: EGODEX_BASE_URL, the address that PART.zip is appended to (default: Apple's);
DATASET_UPLOAD_PYTHON, the command that runs Python (default: uv run python in a checkout, else python).

Exit codes: 0 all done, 1 some episodes failed, else that of the step that stopped it (2 wrong usage, 3 resumable).
END
}

die() {
    echo "Error: $*" >&2
    exit 2
}

readonly attempts=10
package=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
base_url=${EGODEX_BASE_URL:-https://ml-site.cdn-apple.com/datasets/egodex}
data_dir=egodex_data
output_dir=egodex_dataset
delete=false
download=true
parts=()

while (($#)); do
    option=$1
    if [[ $1 == --* ]]; then # hyphens are understood as underscores
        name=${1%%=*}
        name=${name#--}
        option=--${name//-/_}${1#"--$name"}
    fi
    case $option in
        --help | -h) usage && exit 0 ;;
        --data_dir | --output_dir)
            (($# > 1)) || die "$1: needs a folder"
            if [[ $option == --data_dir ]]; then data_dir=$2; else output_dir=$2; fi
            shift
            ;;
        --data_dir=*) data_dir=${1#*=} ;;
        --output_dir=*) output_dir=${1#*=} ;;
        --delete) delete=true ;;
        --no_download) download=false ;;
        --) shift && break ;;
        test | part[1-5] | extra) parts+=("$1") ;;
        *) die "$1: neither an option nor a part (test, part1 … part5, extra); --help explains" ;;
    esac
    shift
done
((${#parts[@]})) || parts=(test)
converter_options=("--output.output_dir=$output_dir" "$@")

if [[ -n ${DATASET_UPLOAD_PYTHON:-} ]]; then
    read -ra python <<<"$DATASET_UPLOAD_PYTHON"
elif [[ -e $package/../pyproject.toml ]]; then # a checkout
    python=(uv run --project "$package/.." python)
else
    python=(python)
    python -c "import dataset_upload" 2>/dev/null ||
        die "python: finds no dataset_upload; activate the environment that has it, or set DATASET_UPLOAD_PYTHON"
fi

# The size of a file on the server in bytes; nothing where it does not answer.
size_on_server() {
    curl --silent --fail --location --head --connect-timeout 30 --retry 5 "$1" |
        tr -d '\r' | awk 'tolower($1) == "content-length:" { size = $2 } END { print size }'
}

size_on_disk() {
    if [[ -e $1 ]]; then wc -c <"$1" | tr -d ' '; else echo 0; fi
}

# Download a file, going on where an earlier attempt was; it has its name only once it is whole.
download_to() {
    local url=$1 file=$2 expected attempt status
    expected=$(size_on_server "$url") || expected=
    if [[ -e $file ]]; then
        [[ -z $expected || $(size_on_disk "$file") == "$expected" ]] && return
        mv "$file" "$file.part" # somebody else has begun to download it
    fi
    [[ -n $expected ]] || die "$url: does not answer with a size; check the connection, or EGODEX_BASE_URL"
    for ((attempt = 1; $(size_on_disk "$file.part") < expected; attempt++)); do
        echo "Downloading $url ($expected bytes)"
        status=0
        curl --fail --location --continue-at - --output "$file.part" \
            --connect-timeout 30 --speed-limit 1000 --speed-time 60 "$url" || status=$?
        ((status == 33)) && die "$url: its server cannot resume; delete $file.part and start again"
        ((status == 23)) && { echo "Stopped: cannot write $file.part" >&2 && exit 3; }
        if ((status && attempt == attempts)); then
            echo "Stopped: $url could not be downloaded in $attempts attempts; run this again to go on" >&2
            exit 3
        fi
        ((status == 0)) || sleep $((attempt < 6 ? 2 ** attempt : 60))
    done
    [[ $(size_on_disk "$file.part") == "$expected" ]] ||
        die "$file.part has $(size_on_disk "$file.part") bytes, the server says $expected; delete it and start again"
    mv "$file.part" "$file"
}

# Convert a part from a zip or a URL; returns the converter's exit code.
convert() {
    "${python[@]}" -m dataset_upload.generate_hf_dataset \
        --config_path="$package/configs/data_gen_configs/egodex.yaml" \
        --dataset.dataset_path="$2" --dataset.dataset_name="egodex_$1" "${converter_options[@]}"
}

failed=false
for part in "${parts[@]}"; do
    zip=$data_dir/$part.zip
    finished=$data_dir/$part.converted # kept in the place of a deleted zip; says with which options it was converted
    if [[ ! -e $zip && -e $finished && $(<"$finished") == "${converter_options[*]}" &&
        -e $output_dir/egodex_$part/conversion.json ]]; then
        echo "$part: converted and deleted earlier"
        continue
    fi
    status=0
    if $download; then
        mkdir -p "$data_dir"
        download_to "$base_url/$part.zip" "$zip"
        convert "$part" "$zip" || status=$?
    else
        convert "$part" "egodex://$part" || status=$?
    fi
    if ((status == 1)); then
        failed=true
    elif ((status)); then
        exit "$status"
    elif $download && $delete; then
        echo "${converter_options[*]}" >"$finished"
        rm "$zip"
    fi
done
$failed && exit 1
exit 0
