import type { RefObject, TargetedEvent, TargetedKeyboardEvent, TargetedPointerEvent } from "preact";
import { useMemo } from "preact/hooks";
import type { Said } from "./fold.js";
import type { View } from "./view.js";

type List = HTMLOListElement;

const lineOf = (target: EventTarget | null) => (target instanceof Element ? target.closest<HTMLElement>("li.said") : null);

/** Somebody walks the list with keys: then the pointer, which lies anywhere, is not followed. */
const walking = (list: List | null) => !!list?.querySelector(":focus-visible, :popover-open");

/** What keys and pointers do in the list of messages: walk it, and act on the line they are at. */
export function useKeys(view: View, list: RefObject<List | null>) {
  return useMemo(
    () => ({
      onPointerOver(e: TargetedPointerEvent<List>): void {
        if (e.pointerType !== "mouse" || walking(list.current)) return;
        const key = lineOf(e.target)?.dataset["key"];
        if (key) view.active.value = key;
      },
      onPointerLeave(): void {
        if (!walking(list.current)) view.active.value = newest(list.current);
      },
      onClick(e: TargetedEvent<List, MouseEvent>): void {
        const key = lineOf(e.target)?.dataset["key"];
        if (key) view.active.value = key;
      },
      onFocusIn(e: TargetedEvent<List, FocusEvent>): void {
        const key = lineOf(e.target)?.dataset["key"];
        if (key) view.active.value = key;
      },
      onKeyDown(e: TargetedKeyboardEvent<List>): void {
        const line = lineOf(e.target);
        if (!line || e.ctrlKey || e.metaKey || e.altKey) return;
        if (act(view, line, e.key)) e.preventDefault();
      },
    }),
    [view],
  );
}

/** The line that the tab key leads to as long as nobody chose another one. */
export function newest(list: List | null): string {
  const lines = list?.querySelectorAll<HTMLElement>("li.said");
  return lines?.[lines.length - 1]?.dataset["key"] ?? "";
}

function act(view: View, line: HTMLElement, key: string): boolean {
  const step = { ArrowUp: "previousElementSibling", ArrowDown: "nextElementSibling" } as const;
  if (key === "ArrowUp" || key === "ArrowDown") {
    let to = line[step[key]];
    while (to && !to.classList.contains("said")) to = to[step[key]];
    if (to) (to as HTMLElement).focus();
    else if (key === "ArrowDown") view.focus();
    return true;
  }
  if (key === "Escape") {
    view.focus();
    return true;
  }
  const said = view.thread.find(Number(line.dataset["offset"]));
  return said ? command(view, line, said, key.toLowerCase()) : false;
}

function command(view: View, line: HTMLElement, said: Said, key: string): boolean {
  const mine = said.user === view.thread.user;
  if (said.deleted) return false;
  if (key === "r") view.reply(said);
  else if (key === "e" && mine) view.edit(said);
  else if (key === "delete") line.querySelector<HTMLElement>("[data-does=delete]")?.click();
  else if (key === "l") void view.link(said);
  else if (key === "+") line.querySelector<HTMLElement>("[data-does=react]")?.click();
  else return false;
  return true;
}
