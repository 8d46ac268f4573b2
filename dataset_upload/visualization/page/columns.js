// What the page knows of every trajectory: columns, some 50 bytes a row, which arrive in files.

const COLUMNS = {
  number: Uint32Array, task: Uint32Array, folder: Uint32Array, prefix: Uint32Array, suffix: Uint32Array, remarks: Uint16Array,
  seconds: Float32Array, clipBytes: Uint32Array, convertSeconds: Float32Array, path: Float32Array, topSpeed: Float32Array,
  leastInFrame: Float32Array, confidence: Float32Array,
};
const NO_NUMBER = 2 ** 32 - 1;

/** A text as an address can have it: names of files may hold what is no text. */
const wellFormed = (text) => text.toWellFormed?.() ?? text;

const rows = {
  count: 0, // of rows that have arrived
  texts: { task: [], folder: [], prefix: [], remarks: [] }, // by the column that holds their numbers

  /** Have all columns arrive; `arrived` is called after each file. */
  async load(arrived) {
    for (const [name, type] of Object.entries(COLUMNS)) this[name] = new type(data.rows);
    for (let file = 0; file < data.columnFiles; file++) {
      const content = await load("columns", file);
      for (const [name, type] of Object.entries(COLUMNS)) this[name].set(new type(decodeBytes(content[name]).buffer), this.count);
      for (const [name, texts] of Object.entries(content.texts)) this.texts[name] = this.texts[name].concat(texts);
      this.count += content.rows;
      arrived();
    }
  },

  get isWhole() {
    return this.count === data.rows;
  },

  text(row) {
    return this.texts.task[this.task[row]];
  },

  source(row) {
    return this.texts.prefix[this.prefix[row]] + this.ending(row);
  },

  /** The number that a source ends with, as it is written. */
  ending(row) {
    return this.suffix[row] === NO_NUMBER ? "" : String(this.suffix[row]);
  },

  /** What is strange about a trajectory. */
  remarksOf(row) {
    return this.texts.remarks[this.remarks[row]].split("\n").filter(Boolean);
  },

  /** The row of a source, as an address has it; -1 if none has arrived. */
  find(source) {
    const mayBe = this.oneOf("prefix", (prefix) => source.startsWith(wellFormed(prefix)));
    for (let row = 0; row < this.count; row++) {
      if (mayBe(row) && wellFormed(this.source(row)) === source) return row;
    }
    return -1;
  },

  /** The rows that fit, sorted; unknown values come last either way. */
  select({ words, folder, remark, key, sign }) {
    const fits = [
      ...words.map((word) => this.has(word)),
      ...(folder ? [this.oneOf("folder", (text) => text === folder)] : []),
      ...(remark ? [this.oneOf("remarks", (text) => text.split("\n").includes(remark))] : []),
    ];
    const values = key(this);
    const [known, unknown] = [new Uint32Array(this.count), []];
    let found = 0;
    for (let row = 0; row < this.count; row++) {
      if (!fits.every((fit) => fit(row))) continue;
      if (values && Number.isNaN(values[row])) unknown.push(row);
      else known[found++] = row;
    }
    const sorted = known.subarray(0, found);
    if (values) sorted.sort((a, b) => sign * (values[a] - values[b]) || a - b);
    else if (sign < 0) sorted.reverse();
    const all = new Uint32Array(found + unknown.length);
    all.set(sorted);
    all.set(unknown, found);
    return all;
  },

  /** Whether a row's text of this column is one that fits; each text is looked at once. */
  oneOf(column, fits) {
    const fitting = Uint8Array.from(this.texts[column], fits);
    return (row) => fitting[this[column][row]];
  },

  /** Whether a row's task or source has a word. */
  has(word) {
    const inText = this.oneOf("task", (text) => text.toLowerCase().includes(word));
    const inPrefix = this.oneOf("prefix", (text) => text.toLowerCase().includes(word));
    const mayEndSource = /\d$/.test(word);
    return (row) => inText(row) || inPrefix(row) || (mayEndSource && this.source(row).toLowerCase().includes(word));
  },

  /** Where each row's text stands among all in alphabetical order. */
  alphabetical() {
    const texts = this.texts.task;
    const order = Uint32Array.from(texts.keys()).sort((a, b) => (texts[a] < texts[b] ? -1 : texts[a] > texts[b] ? 1 : 0));
    const place = new Float64Array(texts.length);
    order.forEach((text, i) => (place[text] = i));
    return Float64Array.from(this.task.subarray(0, this.count), (text) => place[text]);
  },
};
