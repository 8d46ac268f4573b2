// The page: numbers, rankings, tasks, the list with search and sort, what was not converted.

const data = JSON.parse(document.getElementById("data").textContent);
const fps = data.settings.fps;
const trajectories = unpack(data);
const someHaveHands = trajectories.some((trajectory) => trajectory.hasHands);
const byId = (id) => document.getElementById(id);

const CARDS_A_PAGE = 48;
const TASKS_AT_FIRST = 16;
const ROWS_AT_A_TIME = 100;
const RANKED = 6;

/** What follows from the numbers of both hands; null of a trajectory without hands, or without a camera that sees them. */
function ifKnown(pair, combine) {
  return pair.includes(null) ? null : combine(...pair);
}

/** The columns of the data as one object a trajectory, in the dataset's order. */
function unpack({ trajectories: columns, texts, folders }) {
  const names = Object.keys(columns);
  const count = names.length ? columns[names[0]].length : 0;
  return Array.from({ length: count }, (_, row) => {
    const trajectory = { row };
    for (const name of names) trajectory[name] = columns[name][row];
    trajectory.text = texts[trajectory.task];
    trajectory.folder = folders[trajectory.folder];
    trajectory.words = `${trajectory.text} ${trajectory.source}`.toLowerCase();
    trajectory.path = ifKnown(trajectory.paths, (left, right) => left + right);
    trajectory.topSpeed = ifKnown(trajectory.topSpeeds, Math.max);
    trajectory.radius = ifKnown(trajectory.radii, Math.min);
    trajectory.leastInFrame = ifKnown(trajectory.inFrame, Math.min);
    trajectory.meanInFrame = ifKnown(trajectory.inFrame, (left, right) => (left + right) / 2);
    return trajectory;
  });
}

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
  confidence: (value) => (value === null ? "unknown" : value.toFixed(2)),
};

const total = (values) => values.reduce((sum, value) => sum + value, 0);

function showOverview() {
  const seconds = total(trajectories.map((trajectory) => trajectory.seconds));
  const { source, clips, tables } = data.bytes;
  const size = (value) => show.bytes(value, Math.max(source, clips, tables));
  const byStatus = (status) => total(Object.values(data.counts[status]));
  const length = seconds < 600 ? ["seconds of video", short(seconds)] : ["hours of video", short(seconds / 3600)];
  const tiles = [
    ["trajectories", show.count(trajectories.length)],
    ["tasks", show.count(data.folders.length)],
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
  const of = (name) => trajectories.map((trajectory) => trajectory[name]);
  byId("histograms").append(
    histogram("Source length", of("seconds"), show.seconds),
    histogram("Clip size", of("clipBytes"), show.kilobytes));
  if (someHaveHands) byId("histograms").append(
    histogram("Path of both hands", of("path"), show.metres),
    histogram("Hands in frame", of("meanInFrame"), show.share),
    histogram("Confidence", of("confidence"), show.confidence));
}

function showRankings() {
  const { jumpSpeed, stillRadius, leastInFrame } = data.limits;
  const rankings = [
    ["Fastest hands", `Over ${show.speed(jumpSpeed)} the tracker may have jumped.`, "topSpeed", -1, show.speed, (value) => value > jumpSpeed],
    ["Stillest hands", `Within ${show.centimetres(stillRadius)}: at rest, or frozen.`, "radius", 1, show.centimetres, (value) => value < stillRadius],
    ["Least in frame", "Of the joints of the hand that is seen less.", "leastInFrame", 1, show.share, (value) => value < leastInFrame, (trajectory) => trajectory.leastInFrame < 1],
    ["Slowest to convert", "Large files or a slow disk.", "convertSeconds", -1, show.seconds, () => false],
  ];
  // All but the last are about hands.
  byId("rankings").append(...rankings.slice(someHaveHands ? 0 : -1).map(([title, hint, key, direction, write, isOver, isRanked = () => true]) => {
    const ranked = trajectories.filter((trajectory) => trajectory[key] !== null && isRanked(trajectory)).sort((a, b) => direction * (a[key] - b[key])).slice(0, RANKED);
    return element("div", { class: "ranking" }, element("h3", { text: title }),
      element("p", { text: ranked.length ? hint : "None." }),
      element("ol", {}, ...ranked.map((trajectory) => element("li", {},
        element("a", { href: linkTo(trajectory) }, thumbnail(trajectory),
          element("span", { class: "text", text: trajectory.text }),
          element("b", { class: isOver(trajectory[key]) ? "over" : null, text: write(trajectory[key]) }))))));
  }));
}

function showTasks() {
  const tasks = new Map();
  for (const trajectory of trajectories) {
    if (!tasks.has(trajectory.folder)) tasks.set(trajectory.folder, []);
    tasks.get(trajectory.folder).push(trajectory);
  }
  const ordered = [...tasks].sort(([, a], [, b]) => b.length - a.length);
  byId("task-count").textContent = show.count(ordered.length);
  const card = ([folder, members]) => {
    const button = element("button", { type: "button", class: "card" }, thumbnail(members[0]),
      element("span", { class: "text", text: folder.replaceAll("_", " ") }),
      element("span", { class: "meta", text: counted(members.length, "trajectory", "trajectories") }));
    button.addEventListener("click", () => {
      byId("folder").value = folder;
      list.refresh();
      byId("trajectories").scrollIntoView();
      byId("search").focus({ preventScroll: true });
    });
    return button;
  };
  showInParts(byId("task-cards"), byId("more-tasks"), ordered, TASKS_AT_FIRST, card, "tasks");
  byId("folder").append(element("option", { value: "", text: "all" }),
    ...ordered.map(([folder]) => folder).sort().map((folder) => element("option", { value: folder, text: folder.replaceAll("_", " ") })));
}

/** Some of many things first, the others when a button asks for them. */
function showInParts(place, button, items, size, draw, what) {
  let shown = 0;
  const more = () => {
    const next = items.slice(shown, shown ? shown + ROWS_AT_A_TIME : size);
    place.append(...next.map(draw));
    shown += next.length;
    button.hidden = shown >= items.length;
    button.textContent = `Show more of all ${show.count(items.length)} ${what}`;
  };
  button.addEventListener("click", more);
  more();
}

/** An object; where no trajectory has hands, without what is about these. */
function withoutHands(object, names) {
  return Object.fromEntries(Object.entries(object).filter(([name]) => someHaveHands || !names.includes(name)));
}

const label = (status, reason) => (reason ? `${status}: ${reason}` : status);
const counted = (count, one, many) => `${show.count(count)} ${count === 1 ? one : many}`;
const linkTo = (trajectory) => `#play=${encodeURIComponent(trajectory.source)}`;
const thumbnail = (trajectory) => element("img", { src: mediaPath(trajectory.clip, "jpg"), alt: "", loading: "lazy", decoding: "async", width: 256, height: 144 });

const SORTS = withoutHands({
  "dataset order": (trajectory) => trajectory.row,
  "task text": (trajectory) => trajectory.task, // texts are numbered in alphabetical order
  "source length": (trajectory) => trajectory.seconds,
  "clip size": (trajectory) => trajectory.clipBytes,
  "path of both hands": (trajectory) => trajectory.path,
  "top speed": (trajectory) => trajectory.topSpeed,
  "hands in frame": (trajectory) => trajectory.leastInFrame,
  confidence: (trajectory) => trajectory.confidence,
  "conversion time": (trajectory) => trajectory.convertSeconds,
}, ["path of both hands", "top speed", "hands in frame", "confidence"]);

const list = {
  found: trajectories,
  page: 0,

  /** Search and sort anew, as the controls say, and show the first page. */
  refresh() {
    const words = byId("search").value.toLowerCase().split(/\s+/).filter(Boolean);
    const [folder, remark] = [byId("folder").value, byId("remark").value];
    const key = SORTS[byId("sort").value];
    const sign = byId("direction").getAttribute("aria-pressed") === "true" ? -1 : 1;
    this.found = trajectories
      .filter((trajectory) => (!folder || trajectory.folder === folder)
        && (!remark || trajectory.remarks.includes(remark))
        && words.every((word) => trajectory.words.includes(word)))
      .sort((a, b) => (key(a) === null) - (key(b) === null) || sign * (key(a) - key(b)) || a.row - b.row);
    this.turnTo(0);
  },

  turnTo(page) {
    const pages = Math.max(1, Math.ceil(this.found.length / CARDS_A_PAGE));
    this.page = Math.min(Math.max(page, 0), pages - 1);
    const start = this.page * CARDS_A_PAGE;
    const cards = this.found.slice(start, start + CARDS_A_PAGE).map(trajectoryCard);
    byId("cards").replaceChildren(...(cards.length ? cards : [element("p", { class: "empty", text: "Nothing fits. Try fewer words." })]));
    byId("found").textContent = this.found.length === trajectories.length ? show.count(trajectories.length)
      : `${show.count(this.found.length)} of ${show.count(trajectories.length)}`;
    byId("page").textContent = `Page ${show.count(this.page + 1)} of ${show.count(pages)}`;
    byId("previous-page").disabled = this.page === 0;
    byId("next-page").disabled = this.page === pages - 1;
    byId("pager").hidden = pages === 1;
  },
};

function trajectoryCard(trajectory) {
  const badges = trajectory.remarks.map((remark) => element("span", { class: "badge", text: remark }));
  return element("a", { class: "card", href: linkTo(trajectory) }, thumbnail(trajectory),
    element("span", { class: "text", text: trajectory.text }),
    ...(badges.length ? [element("span", { class: "badges" }, ...badges)] : []),
    element("span", { class: "meta", text: `${trajectory.source} · ${show.seconds(trajectory.seconds)}` }));
}

function setUpList() {
  byId("remark").closest("label").hidden = !someHaveHands;
  const remarks = [...new Set(trajectories.flatMap((trajectory) => trajectory.remarks))].sort();
  byId("remark").append(element("option", { value: "", text: "any or none" }), ...remarks.map((remark) => element("option", { text: remark })));
  byId("sort").append(...Object.keys(SORTS).map((name) => element("option", { text: name })));
  byId("search").addEventListener("input", () => list.refresh());
  for (const id of ["folder", "remark", "sort"]) byId(id).addEventListener("change", () => list.refresh());
  byId("tools").addEventListener("submit", (event) => event.preventDefault());
  byId("direction").addEventListener("click", (event) => {
    const descending = event.target.getAttribute("aria-pressed") !== "true";
    event.target.setAttribute("aria-pressed", descending);
    event.target.textContent = descending ? "↓ descending" : "↑ ascending";
    list.refresh();
  });
  for (const [id, step] of [["previous-page", -1], ["next-page", 1]]) {
    byId(id).addEventListener("click", () => {
      list.turnTo(list.page + step);
      byId("trajectories").scrollIntoView();
    });
  }
  list.refresh();
}

function showUnconverted() {
  const reasons = Object.entries(data.counts).flatMap(([status, counts]) =>
    Object.entries(counts).map(([reason, count]) => ({ status, reason, count })));
  byId("unconverted-count").textContent = show.count(total(reasons.map(({ count }) => count)));
  byId("reasons").append(...reasons.sort((a, b) => b.count - a.count).map(({ status, reason, count }) =>
    element("span", { class: status, text: `${show.count(count)} × ${label(status, reason)}` })));
  const episodes = data.unconverted;
  byId("unconverted-scroll").hidden = episodes.length === 0;
  const hint = reasons.length ? "Which they are, the ledger tells; it stays where the dataset was made." : "Every episode has its trajectory.";
  if (episodes.length === 0) byId("reasons").after(element("p", { class: "hint", text: hint }));
  const row = ({ key, status, reason, message }) => element("tr", {},
    element("td", { text: key }), element("td", { text: label(status, reason) }), element("td", { text: message ?? "" }));
  showInParts(byId("unconverted-rows"), byId("more-unconverted"), episodes, ROWS_AT_A_TIME, row, "episodes");
}

/** What the player says about a trajectory beneath its clip. */
function factsOf(trajectory) {
  const pair = (values, write) => [element("i", { class: "left", text: write(values[0]) }), " · ", element("i", { class: "right", text: write(values[1]) })];
  const ofHands = trajectory.hasHands ? [
    ["Hands", [element("i", { class: "left", text: "left" }), " · ", element("i", { class: "right", text: "right" })]],
    ["Path", pair(trajectory.paths, show.metres)],
    ["Top speed", pair(trajectory.topSpeeds, show.speed)],
    ["Stays within", pair(trajectory.radii, show.centimetres)],
    ["In frame", trajectory.leastInFrame === null ? ["unknown"] : pair(trajectory.inFrame, show.share)],
    ["Confidence", [show.confidence(trajectory.confidence)]],
  ] : [];
  const facts = [
    ...ofHands,
    ["Source", [show.seconds(trajectory.seconds)]],
    ["Clip", [`${show.kilobytes(trajectory.clipBytes)}, ${trajectory.frames} frames`]],
    ["Converted in", [trajectory.convertSeconds === null ? "unknown" : show.seconds(trajectory.convertSeconds)]],
  ];
  return facts.map(([name, value]) => element("div", {}, element("dt", { text: name }), element("dd", {}, ...value)));
}

/** Open the player on the trajectory that the address names, or close it. */
function followAddress() {
  const wanted = location.hash.startsWith("#play=") && decodeURIComponent(location.hash.slice(6));
  const trajectory = wanted && trajectories.find((each) => each.source === wanted);
  if (!trajectory) return player.close();
  const position = list.found.indexOf(trajectory);
  player.show(trajectory, position < 0 ? "" : `${show.count(position + 1)} of ${show.count(list.found.length)}`, factsOf(trajectory));
  byId("previous").disabled = position <= 0;
  byId("next").disabled = position < 0 || position === list.found.length - 1;
}

/** Go to the trajectory so many places further in the list. */
function walk(step) {
  const next = list.found[list.found.indexOf(player.trajectory) + step];
  if (next && list.found.includes(player.trajectory)) location.replace(linkTo(next));
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
  followAddress();
}

function setUpKeys() {
  addEventListener("keydown", (event) => {
    const inControl = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (!player.trajectory) {
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
setUpList();
showUnconverted();
setUpPlayer();
setUpKeys();
setUpTheme();
