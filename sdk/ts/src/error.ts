/** What a client does after a line has ended. */
export type Reconnect = "never" | "wait" | "at once";

/** Codes that can end a line, by close number; docs/protocol.md says what they mean. */
export const endings: Record<number, string> = {
  4001: "unauthorized", 4002: "connect_timeout", 4003: "forbidden", 4004: "version", 4005: "too_many_connections",
  4006: "revoked", 4007: "too_many_errors", 4101: "token_expired", 4103: "rate_limited", 4108: "slow",
  4109: "no_sign_of_life", 4110: "state_lost", 4113: "overloaded", 4201: "drain",
};

/** For people, where the server gave no sentence. */
const sentences: Record<number, string> = {
  4001: "The sign-in was not accepted.",
  4003: "This is not allowed here.",
  4004: "This program is too old for the server.",
  4005: "Too many windows of this user are open.",
  4006: "The access was withdrawn.",
};

/**
 * Why something did not come about. `message` is a sentence for people, `code` the name for programs: one of the
 * server's, or `offline`, `lost`, `silent`, `closed`, `queue_full`, `refused` or `bad_token` of this client's own.
 */
export class CarillonError extends Error {
  override name = "CarillonError";
  /** The server asks to wait so many ms. */
  retryAfter = 0;
  /** The close number that ended the line, or a service's own code for a refused command. */
  number?: number;
  /** What a service answered with its refusal. */
  data?: unknown;
  /** It was sent, and nobody can tell what became of it. The same again under the same `idem` is safe. */
  outcomeUnknown = false;

  /** `retry`: the same may succeed later. */
  constructor(readonly code: string, message: string, readonly retry = false) {
    super(message);
  }
}

/** Says what follows from a close number; see "Reconnecting" in docs/protocol.md. */
export function afterClose(number: number): Reconnect {
  if (number === 1012 || (number >= 4200 && number < 4300)) return "at once";
  return [1002, 1003, 1007, 1009, 1010].includes(number) || (number >= 4000 && number < 4100) ? "never" : "wait";
}

/** The error of a line that was closed. `reason` is what the close frame said. */
export function closeError(number: number, reason: string): CarillonError {
  const code = endings[number] ?? "lost";
  const text = reason && reason !== code ? reason : (sentences[number] ?? "The connection was lost.");
  const e = new CarillonError(code, text, afterClose(number) !== "never");
  e.number = number;
  return e;
}

/** Wraps what something else threw: a sentence, and what it said. */
export function failure(code: string, sentence: string, cause: unknown, retry = true): CarillonError {
  return new CarillonError(code, `${sentence} (${cause instanceof Error ? cause.message : cause})`, retry);
}
