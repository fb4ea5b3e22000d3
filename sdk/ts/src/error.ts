/** What a client does after a line has ended. */
export type Reconnect = "never" | "wait" | "at once";

/** Codes that can end a line, by close number, with a sentence for people; docs/protocol.md has the list. */
const endings: readonly (readonly [number, string, string])[] = [
  [4001, "unauthorized", "The token is missing, malformed, expired or not signed for this server."],
  [4002, "connect_timeout", "No connect message came within 10 seconds of the handshake."],
  [4003, "forbidden", "This is not allowed here."],
  [4004, "version", "The server speaks none of the subprotocols the client asked for."],
  [4005, "too_many_connections", "The user has too many connections open."],
  [4006, "revoked", "The token, the user or this connection was revoked."],
  [4007, "too_many_errors", "The client sent too many malformed requests in a short time."],
  [4101, "token_expired", "The token ended."],
  [4103, "rate_limited", "Too many requests in a short time."],
  [4108, "slow", "The client read too slowly, and its namespace prefers an end to a gap."],
  [4109, "no_sign_of_life", "Nothing was heard of the client within the heartbeat."],
  [4110, "state_lost", "The server lost track of this connection's state."],
  [4113, "overloaded", "The server has more to do than it can carry."],
  [4201, "drain", "The server is going away, as planned."],
];

/** Codes of replies alone that are worth another try; those that end a line are by their number. */
const passing = ["unconfirmed", "unavailable", "storage_full", "busy", "internal"];

/** The close numbers of WebSocket itself after which the same again would end the same. */
const hopeless = [1002, 1003, 1007, 1009, 1010];

/**
 * Why something did not come about. `message` is a sentence for people, `code` the name for programs: one of the
 * server's, or `offline`, `lost`, `silent`, `closed`, `queue_full`, `refused` or `bad_token` of this client's own.
 */
export class CarillonError extends Error {
  override name = "CarillonError";
  /** The same may succeed later. */
  readonly retry: boolean;
  /** The server asks to wait so many ms. */
  retryAfter = 0;
  /** The close number that ended the line, or a service's own code for a refused command. */
  number?: number;
  /** What a service answered with its refusal. */
  data?: unknown;
  /** It was sent, and nobody can tell what became of it. The same again under the same `idem` is safe. */
  outcomeUnknown = false;

  constructor(readonly code: string, message: string, retry = false) {
    super(message);
    this.retry = retry;
  }
}

/** Says what follows from a close number; see "Reconnecting" in docs/protocol.md. */
export function afterClose(number: number): Reconnect {
  if ((number >= 4000 && number < 4100) || hopeless.includes(number)) return "never";
  return (number >= 4200 && number < 4300) || number === 1012 ? "at once" : "wait";
}

/** The error of a line that was closed. `reason` is what the close frame said, `hint` what the runtime knows beside. */
export function closeError(number: number, reason: string, hint: string): CarillonError {
  const known = endings.find((e) => e[0] === number);
  const retry = afterClose(number) !== "never";
  let error: CarillonError;
  if (known) {
    error = new CarillonError(known[1], reason && reason !== known[1] ? reason : known[2], retry);
  } else if (number === 1006 || number === 1005) {
    error = new CarillonError("lost", hint || "The connection was lost.", retry);
  } else {
    error = new CarillonError("lost", `The connection was closed (${number}${reason && " " + reason}).`, retry);
  }
  error.number = number;
  return error;
}

/** Says if a code without the server's own word on it is worth another try. */
export function passes(code: string): boolean {
  const known = endings.find((e) => e[1] === code);
  return known ? known[0] >= 4100 : passing.includes(code);
}
