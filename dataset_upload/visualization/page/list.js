// The list of trajectories. Only cards that are in view are in the page, however many there are.

const SORTS = withoutHands({
  "dataset order": () => null,
  "task text": () => rows.alphabetical(),
  "source length": () => rows.seconds,
  "clip size": () => rows.clipBytes,
  "path of both hands": () => rows.path,
  "top speed": () => rows.topSpeed,
  "hands in frame": () => rows.leastInFrame,
  confidence: () => rows.confidence,
  "conversion time": () => rows.convertSeconds,
}, ["path of both hands", "top speed", "hands in frame", "confidence"]);

const TALLEST = 8_000_000; // pixels: a taller page is cut off by some browsers
const BELOW_PICTURE = 128; // pixels of a card, in report.css too

const list = {
  found: new Uint32Array(), // rows, in order
  box: document.getElementById("cards"),
  cards: new Map(), // those in the page, by their place in `found`
  passed: 0, // pixels of the box that were scrolled away
  top: 0, // pixels of the list that are above the window: more than `passed` where the box is not as tall as the list

  /** Search and sort anew, as the controls say. */
  refresh() {
    this.found = rows.select({
      words: byId("search").value.toLowerCase().split(/\s+/).filter(Boolean),
      folder: byId("folder").value,
      remark: byId("remark").value,
      key: SORTS[byId("sort").value],
      sign: byId("direction").getAttribute("aria-pressed") === "true" ? -1 : 1,
    });
    byId("found").textContent = !rows.isWhole ? `${show.count(rows.count)} of ${show.count(data.rows)} have arrived`
      : this.found.length === rows.count ? show.count(rows.count)
      : `${show.count(this.found.length)} of ${show.count(rows.count)}`;
    byId("nothing").hidden = this.found.length > 0 || !rows.isWhole;
    for (const card of this.cards.values()) card.remove();
    this.cards.clear();
    this.layOut();
  },

  /** As `refresh`, and go to the list's start. */
  restart() {
    this.refresh();
    if (this.passed > 0) byId("trajectories").scrollIntoView({ behavior: "instant" });
  },

  layOut() {
    const width = this.box.clientWidth;
    this.gap = width < 560 ? 9 : 14;
    this.columns = width < 560 ? 2 : Math.floor((width + this.gap) / (250 + this.gap));
    this.cardWidth = (width - (this.columns - 1) * this.gap) / this.columns;
    this.cardHeight = Math.round((this.cardWidth * 9) / 16) + BELOW_PICTURE;
    this.step = this.cardHeight + this.gap;
    this.height = Math.max(Math.ceil(this.found.length / this.columns) * this.step - this.gap, 0);
    this.boxHeight = Math.min(this.height, TALLEST);
    this.box.style.height = `${this.boxHeight}px`;
    this.passed = -1; // anew
    this.follow();
  },

  /** Bring the cards to where the page was scrolled to. */
  follow() {
    const passed = Math.min(Math.max(-this.box.getBoundingClientRect().top, 0), this.boxHeight);
    const [end, boxEnd] = [this.height - innerHeight, this.boxHeight - innerHeight];
    const step = passed - this.passed;
    if (this.height === this.boxHeight) this.top = passed;
    else if (passed <= 0 || passed >= boxEnd || this.passed < 0 || Math.abs(step) > innerHeight) this.top = (passed / boxEnd) * end;
    else this.top = Math.min(Math.max(this.top + step, 0), end); // as far as a finger or a wheel moved
    this.passed = passed;
    this.draw();
  },

  /** Once the page rests, bring its scroll bar to where the list is; nothing in view moves. */
  settle() {
    if (this.height === this.boxHeight || this.passed <= 0) return;
    const passed = (this.top / (this.height - innerHeight)) * (this.boxHeight - innerHeight);
    const step = Math.round(passed - this.passed);
    if (Math.abs(step) < 1) return;
    this.passed += step;
    scrollBy({ top: step, behavior: "instant" });
    this.draw();
  },

  draw() {
    const first = Math.max(Math.floor((this.top - innerHeight / 2) / this.step), 0) * this.columns;
    const last = Math.min(Math.ceil((this.top + 1.5 * innerHeight) / this.step) * this.columns, this.found.length);
    for (const [place, card] of this.cards) {
      if (place >= first && place < last) continue;
      card.remove();
      this.cards.delete(place);
    }
    let next = this.box.firstElementChild;
    for (let place = first; place < last; place++) {
      let card = this.cards.get(place);
      if (card === next) next = next?.nextElementSibling;
      if (!card) {
        card = trajectoryCard(this.found[place]);
        this.cards.set(place, card);
        this.box.insertBefore(card, next);
      }
      const x = (place % this.columns) * (this.cardWidth + this.gap);
      const y = Math.floor(place / this.columns) * this.step - this.top + this.passed;
      card.style.cssText = `width: ${this.cardWidth}px; height: ${this.cardHeight}px; transform: translate(${x}px, ${y}px)`;
    }
  },
};

function trajectoryCard(row) {
  const badges = rows.remarksOf(row).map((remark) => element("span", { class: "badge", text: remark }));
  return element("a", { class: "card", href: linkTo(rows.source(row)), title: rows.text(row) }, pictures.of(rows.number[row]),
    element("span", { class: "text", text: rows.text(row) }),
    ...(badges.length ? [element("span", { class: "badges" }, ...badges)] : []),
    element("span", { class: "meta" }, element("span", {}, element("bdi", { text: rows.source(row) })), ` · ${show.seconds(rows.seconds[row])}`));
}

function setUpList() {
  byId("remark").closest("label").hidden = !data.someHaveHands;
  byId("remark").append(element("option", { value: "", text: "any or none" }));
  byId("sort").append(...Object.keys(SORTS).map((name) => element("option", { text: name })));
  byId("search").addEventListener("input", () => list.restart());
  for (const id of ["folder", "remark", "sort"]) byId(id).addEventListener("change", () => list.restart());
  byId("tools").addEventListener("submit", (event) => event.preventDefault());
  byId("direction").addEventListener("click", (event) => {
    const descending = event.target.getAttribute("aria-pressed") !== "true";
    event.target.setAttribute("aria-pressed", descending);
    event.target.textContent = descending ? "↓ descending" : "↑ ascending";
    list.restart();
  });
  addEventListener("scroll", () => list.follow(), { passive: true });
  addEventListener("scrollend", () => list.settle());
  new ResizeObserver(() => list.layOut()).observe(list.box.parentElement);
}

/** The remarks that there are, as far as rows have arrived. */
function listRemarks() {
  const known = new Set([...byId("remark").options].map(({ value }) => value));
  const remarks = new Set(rows.texts.remarks.flatMap((text) => text.split("\n")).filter((remark) => !known.has(remark)));
  byId("remark").append(...[...remarks].sort().map((remark) => element("option", { text: remark })));
}
