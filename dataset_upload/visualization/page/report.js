// The page: numbers, rankings, tasks, what was not converted, what leads to the player.

const fps = data.settings.fps;
const byId = (id) => document.getElementById(id);

const TASKS_AT_FIRST = 16;
const EPISODES_AT_FIRST = 10;
const ITEMS_AT_A_TIME = 100;

const show = {
  count: (value) => value.toLocaleString("en"),
  seconds: (value) => `${value.toFixed(2)}\u00a0s`,
  /** In the unit that fits `largest`: numbers that are read side by side have one unit. */
  bytes: (value, largest) => {
    const unit = [[1e12, "TB"], [1e9, "GB"], [1e6, "MB"], [1e3, "KB"]].find(([size]) => largest >= size) ?? [1, "bytes"];
    return `${short(value / unit[0])}\u00a0${unit[1]}`;
  },
  // One unit for each quantity, so that a column of numbers can be compared at a glance.
  kilobytes: (value) => `${show.count(Math.round(value / 1000))}\u00a0KB`,
  metres: (value) => `${value.toFixed(2)}\u00a0m`,
  centimetres: (value) => `${(100 * value).toFixed(1)}\u00a0cm`,
  speed: (value) => `${value.toFixed(2)}\u00a0m/s`,
  change: (value) => `${value < 0 ? "−" : "+"}${Math.abs(100 * value).toFixed(1)}\u00a0%`,
  share: (value) => `${Math.round(100 * value)}\u00a0%`,
  confidence: (value) => (Number.isNaN(value) ? "unknown" : value.toFixed(2)),
};

const total = (values) => values.reduce((sum, value) => sum + value, 0);

function showOverview() {
  const seconds = data.sourceSeconds;
  const { source, clips, tables } = data.bytes;
  const size = (value) => show.bytes(value, Math.max(source, clips, tables));
  const byStatus = (status) => total(Object.values(data.counts[status]));
  const length = seconds < 600 ? ["seconds of video", short(seconds)] : ["hours of video", short(seconds / 3600)];
  const tiles = [
    ["trajectories", show.count(data.rows)],
    ["tasks", show.count(data.tasks.length)],
    length,
    ["of source", size(source)],
    [source ? `of clips: ${show.change(clips / source - 1)}` : "of clips", size(clips)],
    ["of tables", size(tables)],
    ["skipped", show.count(byStatus("skipped"))],
    ["failed", show.count(byStatus("failed"))],
  ];
  byId("tiles").append(...tiles.map(([name, value]) => element("div", {}, element("dt", { text: name }), element("dd", { text: value }))));
  const { max_frames, frame_size, shortest_edge_size, resize, use_video, crf } = data.settings;
  byId("settings").textContent = [
    max_frames > 0 ? `Up to ${max_frames} frames a clip` : "All frames in each clip",
    shortest_edge_size ? `shorter edge ${shortest_edge_size} pixels` : `${frame_size}×${frame_size} pixels, ${resize.replace("_", " ")}`,
    use_video ? `H.264 at crf ${crf}, ${fps} frames a second` : "JPEG",
  ].join("; ") + ".";
  const { seconds: lengths, clipBytes, path, meanInFrame, confidence } = data.histograms;
  byId("histograms").append(
    histogram("Source length", lengths, show.seconds),
    histogram("Clip size", clipBytes, show.kilobytes));
  if (data.someHaveHands) byId("histograms").append(
    histogram("Path of both hands", path, show.metres),
    histogram("Hands in frame", meanInFrame, show.share),
    histogram("Confidence", confidence, show.confidence));
}

function showRankings() {
  const { jumpSpeed, stillRadius, leastInFrame } = data.limits;
  const rankings = [
    ["Fastest hands", `Over ${show.speed(jumpSpeed)} the tracker may have jumped.`, "topSpeed", show.speed, (value) => value > jumpSpeed],
    ["Stillest hands", `Within ${show.centimetres(stillRadius)}: at rest, or frozen.`, "radius", show.centimetres, (value) => value < stillRadius],
    ["Least in frame", "Of the joints of the hand that is seen less.", "leastInFrame", show.share, (value) => value < leastInFrame],
    ["Slowest to convert", "Large files or a slow disk.", "convertSeconds", show.seconds, () => false],
  ];
  // All but the last are about hands.
  byId("rankings").append(...rankings.slice(data.someHaveHands ? 0 : -1).map(([title, hint, key, write, isOver]) => {
    const ranked = data.rankings[key];
    return element("div", { class: "ranking" }, element("h3", { text: title }),
      element("p", { text: ranked.length ? hint : "None." }),
      element("ol", {}, ...ranked.map(({ number, source, text, value }) => element("li", {},
        element("a", { href: linkTo(source) }, pictures.of(number),
          element("span", { class: "text", text }),
          element("b", { class: isOver(value) ? "over" : null, text: write(value) }))))));
  }));
}

function showTasks() {
  byId("task-count").textContent = show.count(data.tasks.length);
  const card = ({ folder, count, number }) => {
    const button = element("button", { type: "button", class: "card" }, pictures.of(number),
      element("span", { class: "text", text: folder.replaceAll("_", " ") }),
      element("span", { class: "meta", text: counted(count, "trajectory", "trajectories") }));
    button.addEventListener("click", () => {
      byId("folder").value = folder;
      list.refresh();
      byId("trajectories").scrollIntoView();
      byId("search").focus({ preventScroll: true });
    });
    return button;
  };
  const next = (start, count) => data.tasks.slice(start, start + count);
  showInParts(byId("task-cards"), byId("more-tasks"), next, data.tasks.length, TASKS_AT_FIRST, card, "tasks");
  byId("folder").append(element("option", { value: "", text: "all" }),
    ...data.tasks.map(({ folder }) => folder).sort().map((folder) => element("option", { value: folder, text: folder.replaceAll("_", " ") })));
}

/** Some of many things first, the others when a button asks for them; `next(start, count)` gives some of them. */
function showInParts(place, button, next, total, size, draw, what) {
  let shown = 0;
  const more = async () => {
    button.disabled = true;
    const items = await next(shown, shown ? ITEMS_AT_A_TIME : size);
    place.append(...items.map(draw));
    shown += items.length;
    button.disabled = false;
    button.hidden = shown >= total;
    button.textContent = `Show more of all ${show.count(total)} ${what}`;
  };
  button.addEventListener("click", more);
  more();
}

/** An object; where no trajectory has hands, without what is about these. */
function withoutHands(object, names) {
  return Object.fromEntries(Object.entries(object).filter(([name]) => data.someHaveHands || !names.includes(name)));
}

const label = (status, reason) => (reason ? `${status}: ${reason}` : status);
const counted = (count, one, many) => `${show.count(count)} ${count === 1 ? one : many}`;
const linkTo = (source) => `#play=${encodeURIComponent(wellFormed(source))}`;

function showUnconverted() {
  const reasons = Object.entries(data.counts).flatMap(([status, counts]) =>
    Object.entries(counts).map(([reason, count]) => ({ status, reason, count })));
  byId("unconverted-count").textContent = show.count(total(reasons.map(({ count }) => count)));
  byId("reasons").append(...reasons.sort((a, b) => b.count - a.count).map(({ status, reason, count }) =>
    element("span", { class: status, text: `${show.count(count)} × ${label(status, reason)}` })));
  byId("unconverted-scroll").hidden = data.unconverted === 0;
  const hint = reasons.length ? "Which they are, the ledger tells; it stays where the dataset was made." : "Every episode has its trajectory.";
  if (data.unconverted === 0) byId("reasons").after(element("p", { class: "hint", text: hint }));
  const row = ([key, status, reason, message]) => element("tr", {},
    element("td", { text: key }), element("td", { text: label(status, reason) }), element("td", { text: message }));
  const next = async (start, count) => {
    if (start === data.unconverted) return [];
    const { unconverted: perFile } = data.rowsPerFile;
    return (await load("unconverted", Math.floor(start / perFile))).slice(start % perFile, (start % perFile) + count);
  };
  showInParts(byId("unconverted-rows"), byId("more-unconverted"), next, data.unconverted, EPISODES_AT_FIRST, row, "episodes");
}

/** What the player says about a trajectory beneath its clip. */
function factsOf(row, clip) {
  const pair = (values, write) => [element("i", { class: "left", text: write(values[0]) }), " · ", element("i", { class: "right", text: write(values[1]) })];
  const ofHands = clip.hasHands ? [
    ["Hands", [element("i", { class: "left", text: "left" }), " · ", element("i", { class: "right", text: "right" })]],
    ["Path", pair(clip.paths, show.metres)],
    ["Top speed", pair(clip.topSpeeds, show.speed)],
    ["Stays within", pair(clip.radii, show.centimetres)],
    ["In frame", clip.inFrame.includes(null) ? ["unknown"] : pair(clip.inFrame, show.share)],
    ["Confidence", [show.confidence(rows.confidence[row])]],
  ] : [];
  const facts = [
    ...ofHands,
    ["Source", [show.seconds(rows.seconds[row])]],
    ["Clip", [`${show.kilobytes(rows.clipBytes[row])}, ${clip.frames} frames`]],
    ["Converted in", [Number.isNaN(rows.convertSeconds[row]) ? "unknown" : show.seconds(rows.convertSeconds[row])]],
  ];
  return facts.map(([name, value]) => element("div", {}, element("dt", { text: name }), element("dd", {}, ...value)));
}

/** Open the player on the trajectory that the address names, or close it. */
function followAddress() {
  const wanted = location.hash.startsWith("#play=") ? decodeURIComponent(location.hash.slice(6)) : null;
  const row = wanted === null ? -1 : rows.find(wanted);
  if (row < 0) return player.close();
  const place = list.found.indexOf(row);
  player.show(row, place < 0 ? "" : `${show.count(place + 1)} of ${show.count(list.found.length)}`);
  byId("previous").disabled = place <= 0;
  byId("next").disabled = place < 0 || place === list.found.length - 1;
}

/** Go to the trajectory so many places further in the list. */
function walk(step) {
  const place = list.found.indexOf(player.row);
  const next = place < 0 ? undefined : list.found[place + step];
  if (next !== undefined) location.replace(linkTo(rows.source(next)));
}

function setUpPlayer() {
  addEventListener("hashchange", followAddress);
  byId("previous").addEventListener("click", () => walk(-1));
  byId("next").addEventListener("click", () => walk(1));
  byId("close").addEventListener("click", () => player.dialog.close());
  player.dialog.addEventListener("click", (event) => event.target === player.dialog && player.dialog.close());
  player.dialog.addEventListener("close", () => {
    player.close();
    if (location.hash.startsWith("#play=")) history.replaceState(null, "", "#");
  });
}

function setUpKeys() {
  addEventListener("keydown", (event) => {
    const inControl = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (player.row === null) {
      if (event.key === "/" && !inControl) {
        event.preventDefault();
        byId("search").focus();
      }
      return;
    }
    const actions = {
      ArrowLeft: () => walk(-1),
      ArrowRight: () => walk(1),
      ",": () => player.seekFrame(player.frame() - 1),
      ".": () => player.seekFrame(player.frame() + 1),
      " ": () => player.toggle(),
    };
    const pressesButton = event.key === " " && event.target.tagName === "BUTTON";
    if (actions[event.key] && !inControl && !pressesButton) {
      event.preventDefault();
      actions[event.key]();
    }
  });
}

function setUpTheme() {
  byId("theme").addEventListener("click", () => {
    const root = document.documentElement;
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
  });
}

showOverview();
showRankings();
showTasks();
showUnconverted();
setUpList();
setUpPlayer();
setUpKeys();
setUpTheme();
rows.load(() => {
  listRemarks();
  list.refresh();
  if (player.row === null) followAddress();
}).catch((error) => (byId("found").textContent = `${byId("found").textContent}: ${error.message}`));
list.refresh();
