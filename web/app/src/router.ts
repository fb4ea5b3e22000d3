import { signal } from "@preact/signals";
import type { TargetedMouseEvent } from "preact";

/** The path that is shown, such as `/chat/lobby`. */
export const path = signal(location.pathname);

addEventListener("popstate", () => (path.value = location.pathname));

/** Shows another path, as a new entry of the history or in place of this one. */
export function go(to: string, replace = false): void {
  if (to === location.pathname) return;
  if (replace) history.replaceState(null, "", to);
  else history.pushState(null, "", to);
  path.value = location.pathname;
}

/** For `onClick` of a link within these pages: follows it without loading anything, unless another tab is wanted. */
export function follow(e: TargetedMouseEvent<HTMLAnchorElement>): void {
  if (e.defaultPrevented || e.button !== 0 || e.metaKey || e.ctrlKey || e.shiftKey || e.altKey) return;
  e.preventDefault();
  go(new URL(e.currentTarget.href).pathname);
}
