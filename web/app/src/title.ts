import { effect, signal } from "@preact/signals";
import { path } from "./router.js";

/** What the page that is shown calls itself; empty: what its address says. */
export const subject = signal("");

/** Messages that wait in the rooms of chat, as far as they are counted. */
export const unread = signal(0);

const placeOf = (address: string): string => (address.startsWith("/chat") ? "Chat" : address.startsWith("/chess") ? "Chess" : "");

/** Keeps the title and the icon of the tab in step with what is unread. */
export function keepTitle(): void {
  effect(() => {
    const place = subject.value || placeOf(path.value);
    document.title = `${unread.value > 0 ? `(${unread.value}) ` : ""}${place ? `${place} · ` : ""}Carillon`;
  });
  effect(() => {
    const icon = document.querySelector<HTMLLinkElement>("link[rel=icon]");
    const want = unread.value > 0 ? "/bells-unread.svg" : "/bells.svg";
    if (icon && icon.getAttribute("href") !== want) icon.setAttribute("href", want);
  });
}
