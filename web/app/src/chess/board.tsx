import { useSignal } from "@preact/signals";
import type { JSX, TargetedKeyboardEvent, TargetedPointerEvent } from "preact";
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import type { Premove } from "./game.js";
import { kindName, Piece, pieceName } from "./pieces.js";
import { colorOf, type Color, inCheck, kingOf, nameOf, type Position, premoves, type Square, squareOf, targets } from "./rules.js";

const slide = 160; // ms
const mostSliding = 8; // pieces; where more change place, another position is meant
const dragAfter = 4; // px

export interface BoardProps {
  position: Position;
  orientation: Color;
  /** Whose pieces may be taken into the hand; undefined: nobody's. */
  mine?: Color | undefined;
  /** It is this side's turn; otherwise a move is a premove. */
  turn?: boolean;
  last?: string | undefined;
  /** The last move is not confirmed yet. */
  pending?: boolean;
  premove?: Premove | undefined;
  move?(m: { from: Square; to: Square }, promotion: string): void;
  cancel?(): void;
}

/** Column and row of a square as it is shown, from the upper left. */
function placeOf(square: Square, orientation: Color): [number, number] {
  return orientation === "white" ? [square & 7, 7 - (square >> 3)] : [7 - (square & 7), square >> 3];
}

const squareAt = (column: number, row: number, orientation: Color): Square => (orientation === "white" ? (7 - row) * 8 + column : row * 8 + 7 - column);

const shift = (square: Square, orientation: Color) => {
  const [column, row] = placeOf(square, orientation);
  return `translate(${column * 100}%, ${row * 100}%)`;
};

/** A board: pieces are moved by dragging, by two clicks, and with the keyboard. */
export function Board(p: BoardProps): JSX.Element {
  const root = useRef<HTMLDivElement>(null);
  const picked = useSignal<Square | undefined>(undefined);
  const over = useSignal<Square | undefined>(undefined);
  const cursor = useSignal<Square>(p.orientation === "white" ? 12 : 52);
  const asking = useSignal<{ from: Square; to: Square } | undefined>(undefined);
  const props = useRef(p);
  props.current = p;
  const dropped = useSlide(root, p.position, p.orientation);

  const from = picked.value;
  const held = from !== undefined && p.mine && p.position.board[from] && colorOf(p.position.board[from]) === p.mine ? from : undefined;
  const reach = held === undefined ? [] : p.turn ? targets(p.position, held) : premoves(p.position, held);
  const marks = markings(p);

  const own = (s: Square) => {
    const { position, mine } = props.current;
    return !!mine && !!position.board[s] && colorOf(position.board[s]) === mine;
  };
  const putDown = () => (picked.value = undefined);
  /** Moves what is held to a square, if it may go there. */
  const to = (square: Square, dragging = false): boolean => {
    const { position, turn, move } = props.current;
    const start = picked.peek();
    if (start === undefined || !own(start)) return false;
    const found = (turn ? targets(position, start) : premoves(position, start)).find((m) => m.to === square);
    if (!found) return false;
    putDown();
    if (dragging) dropped.current = square;
    if (found.promotes && turn) asking.value = { from: start, to: square };
    else move?.(found, found.promotes ? "q" : "");
    return true;
  };
  const cancel = () => {
    putDown();
    asking.value = undefined;
    props.current.cancel?.();
  };

  useEffect(() => void (asking.value = undefined), [p.position]);
  useEffect(() => {
    if (!p.mine) return;
    const escape = (e: KeyboardEvent) => e.key === "Escape" && !e.defaultPrevented && cancel();
    addEventListener("keydown", escape);
    return () => removeEventListener("keydown", escape);
  }, [!p.mine]);
  const drag = useDrag(root, props, { picked, over, own, to });
  const onKeyDown = (e: TargetedKeyboardEvent<HTMLDivElement>) => {
    if (asking.peek()) return;
    const step = { ArrowUp: [0, -1], ArrowDown: [0, 1], ArrowLeft: [-1, 0], ArrowRight: [1, 0] }[e.key];
    const [column, row] = placeOf(cursor.peek(), p.orientation);
    if (step) {
      const next = squareAt(Math.min(7, Math.max(0, column + step[0]!)), Math.min(7, Math.max(0, row + step[1]!)), p.orientation);
      cursor.value = next;
      root.current?.querySelector<HTMLElement>(`[data-at="${next}"]`)?.focus();
    } else if (e.key === "Enter" || e.key === " ") {
      if (picked.peek() === cursor.peek()) putDown();
      else if (!to(cursor.peek())) picked.value = own(cursor.peek()) ? cursor.peek() : undefined;
    } else if (e.key === "Escape") cancel();
    else return;
    e.preventDefault();
    e.stopPropagation(); // the page walks the moves with these
  };
  const choose = (kind: string) => {
    const m = asking.peek();
    asking.value = undefined;
    if (m) p.move?.(m, kind);
    root.current?.querySelector<HTMLElement>(`[data-at="${cursor.peek()}"]`)?.focus({ preventScroll: true });
  };
  // A pawn that becomes something stands where it goes while it is asked what.
  const board = asking.value ? p.position.board.map((x, s) => (s === asking.value!.to ? p.position.board[asking.value!.from]! : s === asking.value!.from ? "" : x)) : p.position.board;
  return (
    <div
      ref={root}
      class={`board ${p.mine ? "playable" : ""} ${p.pending ? "pending" : ""}`}
      onContextMenu={(e) => (e.preventDefault(), cancel())}
      onKeyDown={onKeyDown}
      onMouseDown={(e) => e.preventDefault()} // the focus stays: it is for the keyboard
      {...drag}
    >
      <div role="grid" aria-label={`Board, seen by ${p.orientation}`} class="squares">
        {range.map((row) => (
          <div role="row" key={row}>
            {range.map((column) => {
              const s = squareAt(column, row, p.orientation);
              const target = reach.find((m) => m.to === s);
              const names = [(column + row) % 2 ? "dark" : "light", ...marks(s), s === held && "held", target && (board[s] ? "takes" : "goes"), s === over.value && "over"];
              return (
                <div
                  role="gridcell"
                  key={s}
                  class={names.filter(Boolean).join(" ")}
                  data-at={s}
                  tabIndex={s === cursor.value ? 0 : -1}
                  aria-label={`${nameOf(s)}${board[s] ? `, ${pieceName(board[s])}` : ""}${target ? ", can be reached" : ""}`}
                  aria-selected={s === held}
                  onFocus={() => (cursor.value = s)}
                />
              );
            })}
          </div>
        ))}
      </div>
      <div class="coordinates" aria-hidden="true">
        {range.map((row) => (
          <i key={row} class="rank" style={{ top: `${row * 12.5}%` }}>{nameOf(squareAt(0, row, p.orientation))[1]}</i>
        ))}
        {range.map((column) => (
          <i key={column} class="file" style={{ left: `${column * 12.5}%` }}>{nameOf(squareAt(column, 7, p.orientation))[0]}</i>
        ))}
      </div>
      <div class="pieces" aria-hidden="true">
        {board.map((piece, s) => piece && (
          <span key={`${s}${piece}`} data-square={s} class="stands" style={{ transform: shift(s, p.orientation) }}>
            <Piece piece={piece} />
          </span>
        ))}
      </div>
      {asking.value && <Promotion to={asking.value.to} color={p.position.turn} orientation={p.orientation} choose={choose} cancel={cancel} />}
    </div>
  );
}

const range = [0, 1, 2, 3, 4, 5, 6, 7];

/** What is to be seen of squares whatever is in the hand. */
function markings(p: BoardProps): (s: Square) => string[] {
  const at = new Map<Square, string[]>();
  const mark = (s: Square, name: string) => at.set(s, [...(at.get(s) ?? []), name]);
  if (p.last) for (const s of [p.last.slice(0, 2), p.last.slice(2, 4)]) mark(squareOf(s), "last");
  if (p.premove) for (const s of [p.premove.from, p.premove.to]) mark(s, "premoved");
  if (inCheck(p.position)) mark(kingOf(p.position.board, p.position.turn), "check");
  return (s) => at.get(s) ?? [];
}

interface Hand {
  picked: { value: Square | undefined; peek(): Square | undefined };
  over: { value: Square | undefined };
  own(s: Square): boolean;
  to(s: Square, dragging?: boolean): boolean;
}

/** What the pointer does: a press takes a piece, a release elsewhere plays it, a release in place leaves it picked. */
function useDrag(root: { current: HTMLDivElement | null }, props: { current: BoardProps }, { picked, over, own, to }: Hand) {
  const press = useRef<{ id: number; x: number; y: number; square: Square; was: boolean; piece: HTMLElement | undefined } | undefined>(undefined);
  const at = (e: { clientX: number; clientY: number }): Square | undefined => {
    const box = root.current!.getBoundingClientRect();
    const column = Math.floor(((e.clientX - box.left) / box.width) * 8);
    const row = Math.floor(((e.clientY - box.top) / box.height) * 8);
    return column < 0 || column > 7 || row < 0 || row > 7 ? undefined : squareAt(column, row, props.current.orientation);
  };
  const release = () => {
    const d = press.current;
    press.current = undefined;
    over.value = undefined;
    if (!d?.piece) return;
    d.piece.classList.remove("dragged");
    d.piece.style.transform = shift(d.square, props.current.orientation);
  };
  return {
    onPointerDown(e: TargetedPointerEvent<HTMLDivElement>): void {
      if (e.button !== 0 || !props.current.mine || (e.target as Element).closest(".promotion")) return;
      const square = at(e);
      if (square === undefined) return;
      if (picked.peek() !== undefined && picked.peek() !== square && to(square)) return;
      if (!own(square)) return void (picked.value = undefined);
      press.current = { id: e.pointerId, x: e.clientX, y: e.clientY, square, was: picked.peek() === square, piece: undefined };
      picked.value = square;
      root.current!.setPointerCapture(e.pointerId);
    },
    onPointerMove(e: TargetedPointerEvent<HTMLDivElement>): void {
      const d = press.current;
      if (!d || d.id !== e.pointerId) return;
      if (!d.piece) {
        if (Math.hypot(e.clientX - d.x, e.clientY - d.y) < dragAfter) return;
        d.piece = root.current!.querySelector<HTMLElement>(`[data-square="${d.square}"]`) ?? undefined;
        d.piece?.classList.add("dragged");
      }
      const box = root.current!.getBoundingClientRect();
      const half = box.width / 16;
      if (d.piece) d.piece.style.transform = `translate(${e.clientX - box.left - half}px, ${e.clientY - box.top - half}px)`;
      over.value = at(e);
    },
    onPointerUp(e: TargetedPointerEvent<HTMLDivElement>): void {
      const d = press.current;
      if (!d || d.id !== e.pointerId) return;
      const square = at(e);
      const dragged = !!d.piece;
      release();
      if (square !== undefined && square !== d.square) {
        if (!to(square, dragged)) picked.value = undefined;
      } else if (d.was || square === undefined) picked.value = undefined;
    },
    onPointerCancel: release,
  };
}

/** Lets pieces glide from where they stood before. Gives where a piece was put down by hand: that one is there already. */
function useSlide(root: { current: HTMLDivElement | null }, position: Position, orientation: Color): { current: Square | undefined } {
  const before = useRef({ board: position.board, orientation });
  const dropped = useRef<Square | undefined>(undefined);
  useLayoutEffect(() => {
    const old = before.current;
    before.current = { board: position.board, orientation };
    const byHand = dropped.current;
    dropped.current = undefined;
    if (old.board === position.board || old.orientation !== orientation || matchMedia("(prefers-reduced-motion: reduce)").matches) return;
    const left = new Set(old.board.flatMap((x, s) => (x && x !== position.board[s] ? [s] : [])));
    const come = position.board.flatMap((x, s) => (x && x !== old.board[s] ? [s] : []));
    if (come.length > mostSliding) return;
    for (const s of come) {
      const piece = position.board[s]!;
      const pawn = colorOf(piece) === "white" ? "P" : "p";
      const from = [...left].find((f) => old.board[f] === piece) ?? [...left].find((f) => old.board[f] === pawn);
      if (from === undefined) continue;
      left.delete(from);
      if (s === byHand) continue;
      const el = root.current?.querySelector<HTMLElement>(`[data-square="${s}"]`);
      el?.animate([{ transform: shift(from, orientation), zIndex: 2 }, { transform: shift(s, orientation), zIndex: 2 }], { duration: slide, easing: "cubic-bezier(0.2, 0, 0, 1)" });
    }
  }, [position, orientation]);
  return dropped;
}

/** Asks what a pawn becomes, on the squares below it. */
function Promotion({ to, color, orientation, choose, cancel }: { to: Square; color: Color; orientation: Color; choose(kind: string): void; cancel(): void }): JSX.Element {
  const box = useRef<HTMLDivElement>(null);
  const [column, row] = placeOf(to, orientation);
  const down = row === 0;
  useLayoutEffect(() => box.current?.querySelector("button")?.focus(), []);
  const onKeyDown = (e: TargetedKeyboardEvent<HTMLDivElement>) => {
    const all = [...e.currentTarget.querySelectorAll("button")];
    const step = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[e.key];
    if (step) all[(all.indexOf(document.activeElement as HTMLButtonElement) + step + all.length) % all.length]?.focus();
    else if (e.key === "Escape") cancel();
    else if ("qrbn".includes(e.key)) choose(e.key);
    else return;
    e.preventDefault();
    e.stopPropagation();
  };
  return (
    <div class="promotion" onPointerDown={(e) => e.target === e.currentTarget && cancel()}>
      <div ref={box} role="group" aria-label="The pawn becomes" class={down ? "" : "up"} style={{ insetInlineStart: `${column * 12.5}%` }} onKeyDown={onKeyDown}>
        {[..."qnrb"].map((kind) => (
          <button key={kind} type="button" title={kindName(kind)} aria-label={kindName(kind)} onClick={() => choose(kind)}>
            <Piece piece={color === "white" ? kind.toUpperCase() : kind} />
          </button>
        ))}
      </div>
    </div>
  );
}
