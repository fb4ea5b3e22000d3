import { type Body, type Incoming, messagesOf, type Protocol, type Request } from "./protocol.js";

/**
 * MessagePack for the option `protocol`: the same messages in fewer bytes, with bytes as they are.
 * `new Carillon(url, { protocol: msgpack })`
 */
export const msgpack: Protocol = {
  name: "carillon.v1.msgpack",

  encode(request: Request, body?: Body) {
    const w = new Writer();
    const fields: [string, unknown][] = Object.entries(request).filter((f) => f[1] !== undefined);
    if (body !== undefined) fields.push(["data", body]);
    w.map(fields);
    return w.bytes();
  },

  decode(frame: string | ArrayBuffer) {
    if (typeof frame === "string") throw new TypeError("a text frame on a MessagePack line");
    const r = new Reader(frame);
    const messages: Incoming[] = messagesOf(r.value(0));
    if (!r.done()) throw new RangeError("something stands behind the message");
    return messages;
  },
};

const utf8 = new TextEncoder();
const strictUtf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Arrays and objects inside one another, at most: 32 of a body, and the message around them. */
const maxDepth = 36;

/** Writes what requests are made of, each in its shortest form. */
class Writer {
  #buffer = new Uint8Array(256);
  #length = 0;

  bytes(): Uint8Array<ArrayBuffer> {
    return this.#buffer.slice(0, this.#length);
  }

  map(fields: [string, unknown][]): void {
    this.#head(fields.length, 0x80, 16, 0, 0xde);
    for (const [key, value] of fields) {
      this.#value(key);
      this.#value(value);
    }
  }

  #value(v: unknown): void {
    if (typeof v === "string") {
      const b = utf8.encode(v);
      this.#head(b.length, 0xa0, 32, 0xd9, 0xda);
      this.#put(b);
    } else if (typeof v === "number" && Number.isSafeInteger(v) && v >= 0) {
      this.#integer(v);
    } else if (typeof v === "boolean") {
      this.#put([v ? 0xc3 : 0xc2]);
    } else if (v instanceof Uint8Array) {
      this.#head(v.length, 0, 0, 0xc4, 0xc5);
      this.#put(v);
    } else if (Array.isArray(v)) {
      this.#head(v.length, 0x90, 16, 0, 0xdc);
      for (const x of v) this.#value(x);
    } else {
      throw new TypeError(`a request cannot hold ${String(v)}`);
    }
  }

  #integer(n: number): void {
    if (n < 128) this.#put([n]);
    else if (n < 2 ** 8) this.#sized(0xcc, n, 1);
    else if (n < 2 ** 16) this.#sized(0xcd, n, 2);
    else if (n < 2 ** 32) this.#sized(0xce, n, 4);
    else {
      this.#sized(0xcf, Math.floor(n / 2 ** 32), 4);
      this.#sized(-1, n % 2 ** 32, 4);
    }
  }

  /** The head of what has a length: `fix` below `bound`, else `one` with a byte (0: there is no such form), `two` and up. */
  #head(n: number, fix: number, bound: number, one: number, two: number): void {
    if (n < bound) this.#put([fix | n]);
    else if (one && n < 2 ** 8) this.#sized(one, n, 1);
    else if (n < 2 ** 16) this.#sized(two, n, 2);
    else this.#sized(two + 1, n, 4);
  }

  /** A tag, unless it is negative, and an integer of so many bytes. */
  #sized(tag: number, n: number, width: number): void {
    const b = tag < 0 ? [] : [tag];
    for (let shift = (width - 1) * 8; shift >= 0; shift -= 8) b.push((n >>> shift) & 0xff);
    this.#put(b);
  }

  #put(b: ArrayLike<number>): void {
    if (this.#length + b.length > this.#buffer.length) {
      const larger = new Uint8Array(Math.max(this.#buffer.length * 2, this.#length + b.length));
      larger.set(this.#buffer);
      this.#buffer = larger;
    }
    this.#buffer.set(b, this.#length);
    this.#length += b.length;
  }
}

/** The value of a body; in a message of a later version the text may be something else. */
function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** Reads any MessagePack. Maps become objects without a prototype; what stands under `data` is a body. */
class Reader {
  #view: DataView;
  #pos = 0;

  constructor(frame: ArrayBuffer) {
    this.#view = new DataView(frame);
  }

  done(): boolean {
    return this.#pos === this.#view.byteLength;
  }

  value(depth: number): unknown {
    if (depth > maxDepth) throw new RangeError("nested too deeply");
    const tag = this.#integer(1);
    if (tag < 0x80) return tag;
    if (tag < 0x90) return this.#map(tag & 15, depth);
    if (tag < 0xa0) return this.#array(tag & 15, depth);
    if (tag < 0xc0) return this.#text(tag & 31);
    if (tag >= 0xe0) return tag - 256;
    switch (tag) {
      case 0xc0: return null;
      case 0xc2: return false;
      case 0xc3: return true;
      case 0xca: return this.#view.getFloat32(this.#skip(4));
      case 0xcb: return this.#view.getFloat64(this.#skip(8));
      case 0xd0: return this.#view.getInt8(this.#skip(1));
      case 0xd1: return this.#view.getInt16(this.#skip(2));
      case 0xd2: return this.#view.getInt32(this.#skip(4));
      case 0xd3: return Number(this.#view.getBigInt64(this.#skip(8)));
      case 0xdc: return this.#array(this.#integer(2), depth);
      case 0xdd: return this.#array(this.#integer(4), depth);
      case 0xde: return this.#map(this.#integer(2), depth);
      case 0xdf: return this.#map(this.#integer(4), depth);
    }
    if (tag >= 0xc4 && tag <= 0xc6) return this.#bin(this.#integer(1 << (tag - 0xc4)));
    if (tag >= 0xc7 && tag <= 0xc9) return this.#extension(this.#integer(1 << (tag - 0xc7)));
    if (tag >= 0xcc && tag <= 0xcf) return this.#integer(1 << (tag - 0xcc));
    if (tag >= 0xd4 && tag <= 0xd8) return this.#extension(1 << (tag - 0xd4));
    if (tag >= 0xd9 && tag <= 0xdb) return this.#text(this.#integer(1 << (tag - 0xd9)));
    throw new RangeError(`0x${tag.toString(16)} is no MessagePack`);
  }

  #map(n: number, depth: number): unknown {
    const m: Record<string, unknown> = Object.create(null);
    for (; n > 0; n--) {
      const key = String(this.value(depth + 1));
      const v = this.value(depth + 1);
      m[key] = key === "data" && typeof v === "string" ? parsed(v) : v;
    }
    return m;
  }

  #array(n: number, depth: number): unknown[] {
    const a: unknown[] = [];
    for (; n > 0; n--) a.push(this.value(depth + 1));
    return a;
  }

  #text(n: number): string {
    return strictUtf8.decode(this.#bytes(n));
  }

  #bin(n: number): Uint8Array {
    return this.#bytes(n).slice();
  }

  #extension(n: number): undefined {
    this.#skip(n + 1);
    return undefined;
  }

  #bytes(n: number): Uint8Array {
    return new Uint8Array(this.#view.buffer, this.#skip(n), n);
  }

  /** An unsigned integer of so many bytes. */
  #integer(width: number): number {
    const at = this.#skip(width);
    if (width === 1) return this.#view.getUint8(at);
    if (width === 2) return this.#view.getUint16(at);
    return width === 4 ? this.#view.getUint32(at) : Number(this.#view.getBigUint64(at));
  }

  /** Passes over so many bytes and says where they begin. */
  #skip(n: number): number {
    const at = this.#pos;
    if (at + n > this.#view.byteLength) throw new RangeError("cut short");
    this.#pos += n;
    return at;
  }
}
