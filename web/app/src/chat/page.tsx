import type { JSX } from "preact";
import { useEffect } from "preact/hooks";
import { Icon } from "../icons.js";
import { lobby, pathOf, placeOf } from "../names.js";
import { go, path } from "../router.js";
import "../style/chat.css";
import "../style/thread.css";
import { subject } from "../title.js";
import { chat as chatNow } from "./chat.js";
import { Room } from "./room.js";
import { ordered, Side, titleOf } from "./side.js";

/** Chat: rooms on the left, a room in the middle, its people on the right; on a phone one of these at a time. */
export function ChatPage(): JSX.Element {
  const chat = chatNow.value;
  const { channel, offset } = placeOf(path.value);
  useEffect(() => {
    if (!chat) return;
    // Whoever comes for the first time finds people at once.
    void chat.joinLobby().catch(() => {}); // who cannot join it still has his other rooms
    const key = (e: KeyboardEvent) => {
      const step = { ArrowDown: 1, ArrowUp: -1 }[e.key];
      if (!step || !e.altKey) return;
      const { rooms, direct } = ordered(chat.rooms.all.peek());
      const all = [...rooms, ...direct];
      const i = all.findIndex((r) => r.name === placeOf(path.peek()).channel);
      const next = all[(i + step + all.length) % all.length];
      if (next) go(pathOf(next.name));
      e.preventDefault();
    };
    addEventListener("keydown", key);
    return () => removeEventListener("keydown", key);
  }, [chat]);
  const room = channel && chat?.rooms.all.value.get(channel);
  const title = room ? titleOf(room) : "";
  useEffect(() => {
    subject.value = title;
    return () => void (subject.value = "");
  }, [title]);
  useEffect(() => {
    if (!channel && matchMedia("(min-width: 721px)").matches) go(pathOf(lobby), true);
  }, [channel]);
  if (!chat) return <main class="chat" />;
  return (
    <main class={channel ? "chat within" : "chat"}>
      <Side chat={chat} current={channel} />
      {channel ? (
        <Room key={channel} chat={chat} name={channel} offset={offset} />
      ) : (
        <section class="room nowhere">
          <div class="empty">
            <Icon name="chat" size={20} />
            <h2>Choose a room</h2>
          </div>
        </section>
      )}
    </main>
  );
}
