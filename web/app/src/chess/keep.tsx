import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { Menu } from "../menu.js";

const saidFor = 2500; // ms
const readBy = 10_000; // ms after which the browser has read a file that was handed over

/** What can be taken out of a game: the position that is looked at, and the moves. */
export function Keep({ fen, pgn, file }: { fen(): string; pgn(): string; file(): string }): JSX.Element {
  const said = useSignal("");
  const say = (text: string) => {
    said.value = text;
    setTimeout(() => said.value === text && (said.value = ""), saidFor);
  };
  const put = async (what: string, text: string) => say((await copy(text)) ? `${what} copied` : `The browser does not let this page copy the ${what}`);
  return (
    <span class="keep">
      <span class="tiny quiet" role="status">
        {said.value}
      </span>
      <Menu
        label="Copy or download"
        icon="download"
        actions={[
          { name: "Copy FEN", icon: "link", run: () => void put("FEN", fen()) },
          { name: "Copy PGN", icon: "link", run: () => void put("PGN", pgn()) },
          { name: "Download PGN", icon: "download", run: () => save(file(), pgn()) },
        ]}
      />
    </span>
  );
}

async function copy(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Pages that came without TLS have no clipboard but this one.
    const field = document.createElement("textarea");
    field.value = text;
    field.className = "hidden";
    document.body.append(field);
    field.select();
    const done = document.execCommand("copy");
    field.remove();
    return done;
  }
}

/** What a file of a game between two is called. */
export const fileOf = (white: string, black: string, time: number): string =>
  `${white}-${black}-${new Date(time).toISOString().slice(0, 10)}.pgn`.replace(/[^\p{L}\p{N}.-]+/gu, "_");

/** Hands a text over as a file. */
export function save(name: string, pgn: string): void {
  const url = URL.createObjectURL(new Blob([pgn], { type: "application/x-chess-pgn" }));
  const a = document.createElement("a");
  a.href = url;
  a.download = name;
  a.click();
  setTimeout(() => URL.revokeObjectURL(url), readBy);
}
