/** Calls `woke` when the device is back in its network, or the page is looked at again. Does nothing outside browsers. */
export function awaitWake(woke: () => void): () => void {
  const doc = (globalThis as { document?: Document }).document;
  const listener = () => doc?.visibilityState !== "hidden" && woke();
  const each = (verb: "addEventListener" | "removeEventListener") => {
    for (const event of ["online", "pageshow"]) globalThis[verb]?.(event, listener);
    doc?.[verb]("visibilitychange", listener);
  };
  each("addEventListener");
  return () => each("removeEventListener");
}
