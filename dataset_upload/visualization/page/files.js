// The files beside the page: scripts that call `receive`, for a page from disk may not fetch.

function receive(content) {
  document.currentScript.received(content);
}

/** The content of `data/KIND_NUMBER.js`; the promise fails where there is no such file. */
function load(kind, number) {
  return new Promise((resolve, reject) => {
    const script = element("script", { src: `data/${kind}_${String(number).padStart(5, "0")}.js` });
    script.received = resolve;
    script.onload = script.onerror = () => {
      script.remove();
      reject(new Error(`${script.src} is not there, or damaged`)); // of no effect if it has been received
    };
    document.head.append(script);
  });
}

/** Files of one kind, a few of which are kept: the last that were asked for. */
class Files {
  constructor(kind, kept) {
    Object.assign(this, { kind, kept, rowsPerFile: data.rowsPerFile[kind], files: new Map() });
  }

  fileOf(number) {
    return Math.floor(number / this.rowsPerFile);
  }

  /** What a file holds of the dataset's row of this number. */
  async of(number) {
    const file = this.fileOf(number);
    const content = this.files.get(file) ?? load(this.kind, file);
    this.files.delete(file);
    this.files.set(file, content); // the last one now
    if (this.files.size > this.kept) this.files.delete(this.files.keys().next().value);
    try {
      return (await content)[number % this.rowsPerFile];
    } catch (error) {
      this.files.delete(file); // to be tried again
      throw error;
    }
  }
}

/** Thumbnails, loaded when they come into view, a few files at a time, what was asked for last first. */
const pictures = {
  files: new Files("pictures", 24),
  wanted: [],
  loading: 0,
  observer: new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      if (!isIntersecting) continue;
      pictures.observer.unobserve(target);
      pictures.wanted.push(target);
    }
    pictures.load();
  }, { rootMargin: "300px" }),

  /** An image of the dataset's row of this number. */
  of(number) {
    const image = element("img", { alt: "", decoding: "async", width: 256, height: 144, src: NOTHING });
    image.number = number;
    this.observer.observe(image);
    return image;
  },

  load() {
    this.wanted = this.wanted.filter((image) => image.isConnected); // others were scrolled away meanwhile
    while (this.loading < 4 && this.wanted.length) {
      const file = this.files.fileOf(this.wanted.at(-1).number);
      const together = this.wanted.filter(({ number }) => this.files.fileOf(number) === file);
      this.wanted = this.wanted.filter((image) => !together.includes(image));
      this.loading += 1;
      Promise.all(together.map(async (image) => (image.src = `data:image/jpeg;base64,${await this.files.of(image.number)}`)))
        .catch(() => {}) // the file is not beside the page: there is no picture
        .finally(() => {
          this.loading -= 1;
          this.load();
        });
    }
  },
};
const NOTHING = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg'/%3E";

const clips = new Files("clips", 3);

/** The bytes that a text of base64 stands for. */
function decodeBytes(base64) {
  return Uint8Array.fromBase64?.(base64) ?? Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
}

function decodeNumbers(base64) {
  return new Int16Array(decodeBytes(base64).buffer);
}
