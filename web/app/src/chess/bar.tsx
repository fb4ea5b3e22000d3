import type { ComponentChildren, JSX } from "preact";
import { Avatar } from "../avatar.js";
import { nameOf, tagOf } from "../names.js";
import { Piece } from "./pieces.js";
import type { Change, Rated } from "./records.js";
import { type Color, taken } from "./rules.js";

/** A rating as it is written: with a question mark while it is not settled. */
export const ratingText = (r: { rating?: number; provisional?: boolean }): string => (r.rating === undefined ? "" : `${r.rating}${r.provisional ? "?" : ""}`);

/** A change of rating, in green and red and with its sign. */
export function Delta({ change }: { change: number }): JSX.Element {
  return <span class={`delta number ${change > 0 ? "up" : change < 0 ? "down" : ""}`}>{change > 0 ? `+${change}` : change < 0 ? `−${-change}` : "±0"}</span>;
}

interface BarProps {
  color: Color;
  who: Rated;
  you: boolean;
  board: readonly string[];
  change?: Change | undefined;
  online?: boolean | undefined;
  children: ComponentChildren; // the clock
}

/** One side of a game: who, how strong, what was taken, and the clock. */
export function PlayerBar({ color, who, you, board, change, online, children }: BarProps): JSX.Element {
  const all = taken(board);
  const ahead = color === "white" ? all.ahead : -all.ahead;
  return (
    <div class={`side-of ${color}`}>
      <Avatar user={who.user} online={online} />
      <div class="whom">
        <div class="line">
          <i class={`stone ${color}`} role="img" aria-label={color} title={color} />
          <bdi class="name" title={who.user}>
            {nameOf(who.user)}
            {!you && tagOf(who.user) && <span class="tag">{tagOf(who.user)}</span>}
          </bdi>
          {online !== undefined && <span class="hidden">{online ? "is here" : "is away"}</span>}
        </div>
        <div class="strength">
          <span class="number quiet small">{ratingText(who)}</span>
          {change && <Delta change={change.change} />}
          <span class="spoils" aria-label={`Taken by ${color}${ahead > 0 ? `, ${ahead} ahead` : ""}`} role="img">
            {all[color].map((piece, i, list) => (
              <span key={i} class={i > 0 && list[i - 1] !== piece ? "next" : ""}>
                <Piece piece={piece} />
              </span>
            ))}
            {ahead > 0 && <span class="number quiet tiny ahead">+{ahead}</span>}
          </span>
        </div>
      </div>
      {children}
    </div>
  );
}
