import { useSignal } from "@preact/signals";
import type { JSX, TargetedKeyboardEvent, TargetedSubmitEvent } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";
import { Avatar, Name } from "../avatar.js";
import { Icon } from "../icons.js";
import { nameOf } from "../names.js";
import { type Completion, completion, mentionsIn } from "./mention.js";
import { maxMentions, maxText } from "./records.js";
import { useView } from "./view.js";

const drafts = new Map<string, string>(); // what was not sent, by room
const warnFrom = maxText - 200; // characters

/** Where one writes. Enter sends, Shift and Enter break the line, Up in an empty one changes the last message. */
export function Composer({ hint }: { hint: string }): JSX.Element {
  const view = useView();
  const { thread } = view;
  const box = useRef<HTMLTextAreaElement>(null);
  const completed = useRef(new Set<string>()).current;
  const names = useSignal<Completion | undefined>(undefined);
  const chosen = useSignal(0);
  const length = useSignal(0);
  const mode = view.mode.value;

  const fit = (): void => {
    const b = box.current!;
    b.style.height = "auto";
    b.style.height = `${b.scrollHeight + 2}px`;
    length.value = [...b.value].length;
  };
  const write = (text: string): void => {
    box.current!.value = text;
    fit();
  };
  const input = (): void => {
    const b = box.current!;
    fit();
    names.value = completion(thread, b.value, b.selectionStart);
    chosen.value = 0;
    if (mode.kind !== "edit") {
      drafts.set(thread.name, b.value);
      thread.typing.tell(b.value.trim() !== "");
    }
  };
  const leaveMode = (): void => {
    view.mode.value = { kind: "new" };
    write(drafts.get(thread.name) ?? "");
    box.current?.focus();
  };
  const complete = (user: string): void => {
    const b = box.current!;
    completed.add(user);
    b.setRangeText(`@${nameOf(user)} `, names.value!.start, b.selectionStart, "end");
    names.value = undefined;
    input();
    b.focus();
  };
  const send = (): void => {
    const text = box.current!.value.trim();
    if (!text || [...text].length > maxText) return;
    const mentions = mentionsIn(thread, text, completed, maxMentions);
    if (mode.kind === "edit") {
      if (text !== mode.of.text) void thread.edit(mode.of.offset, text, mentions);
    } else {
      drafts.delete(thread.name);
      thread.send({ text, mentions, replyTo: mode.kind === "reply" ? mode.to.offset : undefined });
      view.toEnd();
    }
    completed.clear();
    leaveMode();
  };
  const key = (e: TargetedKeyboardEvent<HTMLTextAreaElement>): void => {
    if (e.isComposing) return; // Enter chooses a character there
    if (names.value && choose(e, names.value)) return e.preventDefault();
    if (e.key === "Enter" && !e.shiftKey) {
      e.preventDefault();
      send();
    } else if (e.key === "Escape" && mode.kind !== "new") {
      e.preventDefault();
      leaveMode();
    } else if (e.key === "ArrowUp" && box.current!.value === "" && mode.kind === "new") {
      const last = view.last();
      if (!last) return;
      e.preventDefault();
      view.edit(last);
    }
  };
  const choose = (e: KeyboardEvent, c: Completion): boolean => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[e.key];
    if (step) chosen.value = (chosen.value + step + c.users.length) % c.users.length;
    else if (e.key === "Enter" || e.key === "Tab") complete(c.users[chosen.value]!);
    else if (e.key === "Escape") names.value = undefined;
    else return false;
    return true;
  };

  useLayoutEffect(() => {
    view.focus = () => box.current?.focus();
    view.insert = (text) => {
      const b = box.current!;
      write(b.value ? `${b.value} ${text}` : text);
      b.focus();
      input();
    };
    write(drafts.get(thread.name) ?? "");
    if (matchMedia("(pointer: fine)").matches) box.current?.focus({ preventScroll: true });
  }, [view]);
  useLayoutEffect(() => {
    if (mode.kind === "edit") write(mode.of.text);
  }, [mode]);

  const left = maxText - length.value;
  return (
    <form
      class="composer"
      onSubmit={(e: TargetedSubmitEvent<HTMLFormElement>) => {
        e.preventDefault();
        send();
      }}
    >
      {names.value && <Names at={names.value} chosen={chosen.value} choose={complete} />}
      {mode.kind !== "new" && (
        <div class="mode small">
          <Icon name={mode.kind} />
          {mode.kind === "reply" ? <span>Reply to {nameOf(mode.to.user)}: <bdi class="quiet">{mode.to.text}</bdi></span> : <span>Changing your message</span>}
          <button type="button" class="bare" title="Cancel (Escape)" onClick={leaveMode}>
            <Icon name="close" label="Cancel" />
          </button>
        </div>
      )}
      <div class="write">
        <textarea
          ref={box}
          rows={1}
          dir="auto"
          placeholder={hint}
          aria-label={hint}
          aria-autocomplete="list"
          aria-controls={names.value ? "names" : undefined}
          aria-activedescendant={names.value ? `name${chosen.value}` : undefined}
          onInput={input}
          onKeyDown={key}
          onBlur={() => (names.value = undefined)}
        />
        <button class="primary" title="Send (Enter)" disabled={length.value === 0 || left < 0}>
          <Icon name={mode.kind === "edit" ? "check" : "send"} label={mode.kind === "edit" ? "Save" : "Send"} size={20} />
        </button>
      </div>
      {length.value > warnFrom && <p class={left < 0 ? "tiny problem" : "tiny quiet"}>{left < 0 ? `${-left} characters too many` : `${left} characters left`}</p>}
    </form>
  );
}

function Names({ at, chosen, choose }: { at: Completion; chosen: number; choose(user: string): void }): JSX.Element {
  return (
    <ul class="names" id="names" role="listbox" aria-label="Whom to mention">
      {at.users.map((u, i) => (
        <li
          key={u}
          id={`name${i}`}
          role="option"
          aria-selected={i === chosen}
          onPointerDown={(e) => {
            e.preventDefault(); // the cursor stays in the text
            choose(u);
          }}
        >
          <Avatar user={u} small /> <Name user={u} />
        </li>
      ))}
    </ul>
  );
}
