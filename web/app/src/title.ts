import { computed, effect, signal } from "@preact/signals";
import { chat } from "./chat/chat.js";
import { titleOf } from "./chat/side.js";
import { placeOf } from "./names.js";
import { path } from "./router.js";

/** What the page that is shown calls itself; empty: what its address says. */
export const subject = signal("");

/** Keeps the title and the icon of the tab in step with what is unread. */
export function keepTitle(): void {
  const unread = computed(() => chat.value?.rooms.unread.value ?? 0);
  effect(() => {
    const { channel } = placeOf(path.value);
    const room = path.value.startsWith("/chat") && channel ? chat.value?.rooms.all.value.get(channel) : undefined;
    const place = room ? titleOf(room) : subject.value || (path.value.startsWith("/chat") ? "Chat" : path.value.startsWith("/chess") ? "Chess" : "");
    document.title = `${unread.value > 0 ? `(${unread.value}) ` : ""}${place ? `${place} · ` : ""}Carillon`;
  });
  effect(() => {
    const icon = document.querySelector<HTMLLinkElement>("link[rel=icon]");
    const want = unread.value > 0 ? "/bells-unread.svg" : "/bells.svg";
    if (icon && icon.getAttribute("href") !== want) icon.setAttribute("href", want);
  });
}
