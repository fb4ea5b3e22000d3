import type { JSX, TargetedKeyboardEvent } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";
import { place } from "../menu.js";

// What people answer with most. Anything else can be written.
const choices: readonly (readonly [string, string])[] = [
  ["👍", "thumbs up"], ["👎", "thumbs down"], ["❤️", "heart"], ["😂", "tears of joy"], ["😮", "surprised"], ["😢", "sad"],
  ["🎉", "party"], ["🙏", "thanks"], ["👏", "applause"], ["🔥", "fire"], ["✅", "done"], ["❌", "no"],
  ["👀", "looking"], ["🤔", "thinking"], ["😄", "laughing"], ["😍", "love it"], ["🚀", "rocket"], ["💯", "hundred"],
  ["➕", "plus one"], ["❓", "question"], ["⏳", "wait"], ["☕", "coffee"], ["🐛", "bug"], ["🔔", "bell"],
];

const columns = 6;

/** The reactions to choose from, floating beside `button`. */
export function Picker({ button, pick, close }: { button: HTMLElement; pick(emoji: string): void; close(): void }): JSX.Element {
  const box = useRef<HTMLDivElement>(null);
  useLayoutEffect(() => {
    box.current?.showPopover();
    if (box.current) place(box.current, button);
    box.current?.querySelector("button")?.focus();
  }, [button]);
  return (
    <div ref={box} class="picker" popover="auto" role="group" aria-label="Reactions" onKeyDown={walk} onToggle={(e) => e.newState === "closed" && close()}>
      {choices.map(([emoji, name]) => (
        <button
          key={emoji}
          type="button"
          class="bare"
          aria-label={name}
          title={name}
          onClick={() => {
            pick(emoji);
            close();
            button.focus();
          }}
        >
          {emoji}
        </button>
      ))}
    </div>
  );
}

function walk(e: TargetedKeyboardEvent<HTMLDivElement>): void {
  const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns }[e.key];
  if (!step) return;
  const all = [...e.currentTarget.querySelectorAll("button")];
  all[all.indexOf(document.activeElement as HTMLButtonElement) + step]?.focus();
  e.preventDefault();
  e.stopPropagation();
}
