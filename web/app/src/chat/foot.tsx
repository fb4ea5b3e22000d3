import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect } from "preact/hooks";
import { Icon } from "../icons.js";
import { state } from "../link.js";
import { nameOf } from "../names.js";
import { Composer } from "./composer.js";
import { sentence } from "./thread.js";
import { useView } from "./view.js";
import { span } from "./when.js";

/** What stands below the messages: who is typing, what went wrong, and where one writes, or why one cannot. */
export function Foot(): JSX.Element {
  const view = useView();
  const { thread } = view;
  return (
    <footer class="foot">
      <div class="hints small">
        <Typists />
        {view.below.value > 0 && (
          <button type="button" class="newer small" onClick={() => view.toEnd()}>
            <Icon name="down" /> {view.below.value} new
          </button>
        )}
      </div>
      {thread.trouble.value && (
        <p class="trouble small" role="status">
          {thread.trouble.value}
        </p>
      )}
      {thread.status.value === "open" && <Offline />}
      {thread.status.value !== "away" && <Entry />}
    </footer>
  );
}

function Typists(): JSX.Element {
  const users = useView().thread.typing.users.value;
  const names = users.slice(0, 3).map(nameOf);
  const text = users.length > 3 ? "Several people are typing" : names.length ? `${names.join(", ")} ${names.length > 1 ? "are" : "is"} typing` : "";
  return (
    <p class="typing quiet" aria-live="polite">
      {text && (
        <>
          <i class="bells" aria-hidden="true" /> {text}
        </>
      )}
    </p>
  );
}

function Offline(): JSX.Element | null {
  const { thread } = useView();
  thread.version.value;
  if (state.value === "connected") return null;
  const waiting = thread.outgoing.list.filter((m) => m.state === "sending").length;
  return (
    <p class="offline small">
      <Icon name="plug" /> No line. What you write goes out when it is back.{" "}
      {waiting > 0 && <b class="number">{waiting} queued</b>}
    </p>
  );
}

/** The composer, or what has to happen first. */
function Entry(): JSX.Element | null {
  const view = useView();
  const { thread, chat } = view;
  const info = thread.people.info.value;
  const busy = useSignal(false);
  const left = useLeft(info?.muted);
  if (!info) return <div class="composer" />;
  if (info.closed) return <p class="instead small quiet">This room is closed: its last member has left.</p>;
  if (!info.role) {
    const join = async (): Promise<void> => {
      busy.value = true;
      await chat.join(thread.name).catch((e: Error) => thread.complain(sentence(e)));
      busy.value = false;
    };
    return (
      <div class="instead">
        <span class="small quiet">You read along. To write, join.</span>
        <button type="button" class="primary" disabled={busy.value} onClick={() => void join()}>
          Join the room
        </button>
      </div>
    );
  }
  if (left > 0) {
    return (
      <p class="instead small" role="status">
        <Icon name="mute" /> You are muted here. You can write again in {span(left)}.
      </p>
    );
  }
  const place = chat.rooms.all.value.get(thread.name);
  return <Composer hint={info.direct ? `Write to ${nameOf(place?.with ?? "")}` : `Write to ${info.title || thread.name.slice(5)}`} />;
}

/** ms until some time, counting down. */
function useLeft(until: number | undefined): number {
  const left = useSignal(Math.max(0, (until ?? 0) - Date.now()));
  useEffect(() => {
    const look = () => (left.value = Math.max(0, (until ?? 0) - Date.now()));
    look();
    if (!until || left.peek() === 0) return;
    const tick = setInterval(look, 1000);
    return () => clearInterval(tick);
  }, [until]);
  return left.value;
}
