import { fromBase64, toBase64 } from "./base64.js";

/** What a record carries on its way: JSON text, or bytes. */
export type Body = string | Uint8Array;

/** A request without its body: fields in the names and the order of docs/protocol.md; undefined ones are left out. */
export interface Request {
  type: string;
  id?: number | undefined;
  channel?: string | undefined;
  [field: string]: unknown;
}

export interface WireGap {
  from: number;
  to: number;
  reason: string;
}

/** A record as it came. `data` is there unless the record was erased; bytes are a Uint8Array. */
export interface WireRecord {
  channel?: string;
  at?: string;
  offset?: number;
  time: number;
  user?: string;
  class?: string;
  key?: string;
  rev?: number;
  data?: unknown;
}

/** What the server tells in `connected`. */
export interface Hello {
  conn: string;
  user: string;
  time: number;
  server: string;
  heartbeat?: { interval: number; timeout: number };
  limits?: { body: number; channels: number; in_flight: number; batch: number; frame: number };
  expires?: number;
}

/** A message of the server. Which fields are there depends on the type; unknown ones are ignored. */
export interface Incoming extends WireRecord, WireGap, Omit<Hello, "user"> {
  type: string;
  id?: number;
  at: string;
  offset: number;
  recovered?: boolean;
  gap?: WireGap;
  ack?: string;
  records?: WireRecord[];
  more?: boolean;
  before?: string;
  head?: string;
  presence?: {
    count?: number;
    members?: { user: string; since: number }[];
    more?: boolean;
    seen?: { user: string; online: boolean; last?: number }[];
  };
  code?: string | number;
  refused?: number;
  message?: string;
  retry?: boolean;
  retry_after?: number;
  after?: number;
  in?: number;
  stale?: boolean;
}

/** A format of the wire. */
export interface Protocol {
  /** The WebSocket subprotocol. */
  readonly name: string;
  /** A frame of one request. */
  encode(request: Request, body?: Body): string | Uint8Array<ArrayBuffer>;
  /** The messages of a frame. Throws where it is not in this format. */
  decode(frame: string | ArrayBuffer): Incoming[];
}

/** JSON, the format that is built in. */
export const json: Protocol = {
  name: "carillon.v1.json",

  encode(request, body) {
    const text = JSON.stringify(request);
    if (body === undefined) return text;
    // The body was made text once, when it was given to us, and goes out as that text each time it is sent.
    return text.slice(0, -1) + (typeof body === "string" ? `,"data":${body}}` : `,"data64":"${toBase64(body)}"}`);
  },

  decode(frame) {
    if (typeof frame !== "string") throw new TypeError("a binary frame on a JSON line");
    const messages = messagesOf(JSON.parse(frame));
    for (const m of messages) {
      takeBytes(m);
      m.records?.forEach(takeBytes);
    }
    return messages;
  },
};

/** A frame's messages: what is no object is passed over. */
export function messagesOf(frame: unknown): Incoming[] {
  return (Array.isArray(frame) ? frame : [frame]).filter((m) => m && typeof m === "object");
}

function takeBytes(r: WireRecord & { data64?: string | null }): void {
  if (r.data64 != null) {
    r.data = fromBase64(r.data64);
    delete r.data64;
  }
}

/** Says if a record has a body: null is one, and a record without was erased. */
export function hasBody(r: WireRecord): boolean {
  return Object.hasOwn(r, "data");
}

/** Half of a surrogate pair in JSON text; JSON.stringify escapes no other character of that range. */
const loneSurrogate = /(?<!\\)(?:\\\\)*\\u[dD][89a-fA-F]/;

/** A value as a body, frozen: what becomes of the value later changes nothing. Throws what people should read. */
export function toBody(data: unknown): Body {
  if (data instanceof Uint8Array) return data.slice();
  const text = JSON.stringify(data);
  if (text === undefined) throw new TypeError("This cannot be written as JSON.");
  if (loneSurrogate.test(text)) throw new TypeError("The text holds half of a character.");
  return text;
}

/** What a body takes in a frame, in bytes. */
export function sizeOf(body: Body | undefined): number {
  if (body === undefined) return 0;
  return typeof body === "string" ? new TextEncoder().encode(body).length : Math.ceil(body.length / 3) * 4;
}
