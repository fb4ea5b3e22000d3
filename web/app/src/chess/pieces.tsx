import type { JSX } from "preact";

// The pieces, drawn for this product on a field of 45 by 45: an outline, lines within it, and eyes or pearls.
interface Shape {
  body: string;
  lines?: string;
  dots?: readonly (readonly [number, number, number])[];
  eyes?: readonly (readonly [number, number, number])[];
}

const shapes: Record<string, Shape> = {
  p: {
    body: "M22.5 8.5a5.3 5.3 0 0 0-3.4 9.4c-2.1.9-3.5 2.4-3.6 4h3.7c-.1 4-1.5 7-5 9.8-2 1.5-3 3.2-3 5.8h22.6c0-2.6-1-4.3-3-5.8-3.5-2.8-4.9-5.8-5-9.8h3.7c-.1-1.6-1.5-3.1-3.6-4a5.3 5.3 0 0 0-3.4-9.4z",
  },
  r: {
    body: "M10.5 37.5v-3.4c0-1.1.8-1.9 1.9-2.2l2.3-3 .9-10.2-3.6-3.2V8.5h4.7v2.9h3.6V8.5h4.4v2.9h3.6V8.5H33v7l-3.6 3.2.9 10.2 2.3 3c1.1.3 1.9 1.1 1.9 2.2v3.4z",
    lines: "M15.6 18.7h13.8M14.7 28.9h15.6",
  },
  n: {
    body: "M12.7 37.5c-.4-6.7 2.3-9.9 6.9-13.4-2.2.2-3.4 1.2-5 2.6-1.3 1.1-3 1.2-4.1.1l-1.3-1.3c-.9-.9-1-2.1-.3-3.2 2-3.1 2.6-5.6 3.5-8 .5-1.4 1.2-2.5 2.2-3.5L14.2 6.2l5.3 3.1C29 8.8 36.4 17.5 35.6 37.5z",
    lines: "M23.5 13.3c5.3 2.6 8 8.8 7.9 19.7",
    eyes: [[17.2, 15.3, 1.3], [11.9, 23, .8]],
  },
  b: {
    body: "M22.5 10c-5 3.4-8.2 7.3-8.2 11.5 0 2.7 1.2 4.9 3.2 6.4l-.9 3.3c-3.3 1-6.3 1.2-8.6 3v3.3h29v-3.3c-2.3-1.8-5.3-2-8.6-3l-.9-3.3c2-1.5 3.2-3.7 3.2-6.4 0-4.2-3.2-8.1-8.2-11.5z",
    lines: "M17.5 27.9h10M16.6 31.2h11.8M22.5 15.5v7M19 19h7",
    dots: [[22.5, 7.7, 2.4]],
  },
  q: {
    body: "M8.4 15.2 12.6 29.8c-1.3.9-2 2.2-2 3.9v3.8h23.8v-3.8c0-1.7-.7-3-2-3.9l4.2-14.6-7 7.9.3-12-5 10.7-2.4-12.3-2.4 12.3-5-10.7.3 12z",
    lines: "M12.6 29.8c6.3-1.7 13.5-1.7 19.8 0M10.8 33.6c7.5-1.5 15.9-1.5 23.4 0",
    dots: [[7.9, 13.8, 2], [14.9, 9.5, 2], [22.5, 8, 2], [30.1, 9.5, 2], [37.1, 13.8, 2]],
  },
  k: {
    body: "M21.1 13.4v-2.8h-2.9V7.8h2.9V5h2.8v2.8h2.9v2.8h-2.9v2.8c2.2.6 3.5 2.5 3.3 4.7 1.7-1 3.3-1.5 5-1.5 3.5 0 6.1 2.4 6.1 5.7 0 2.9-1.7 5.2-5.2 7.6.8.9 1.2 2 1.2 3.4v4.2H10.7v-4.2c0-1.4.4-2.5 1.2-3.4-3.5-2.4-5.2-4.7-5.2-7.6 0-3.3 2.6-5.7 6.1-5.7 1.7 0 3.3.5 5 1.5-.2-2.2 1.1-4.1 3.3-4.7z",
    lines: "M11.9 29.9c6.7-1.8 14.5-1.8 21.2 0M10.8 33.7c7.5-1.5 15.9-1.5 23.4 0M22.5 17.8v8.4",
  },
};

const names: Record<string, string> = { p: "pawn", n: "knight", b: "bishop", r: "rook", q: "queen", k: "king" };

/** A kind of piece by its letter, in words. */
export const kindName = (piece: string): string => names[piece.toLowerCase()]!;

/** A piece by its letter in FEN, in words. */
export const pieceName = (piece: string): string => `${piece < "a" ? "white" : "black"} ${kindName(piece)}`;

/** A piece by its letter in FEN. */
export function Piece({ piece }: { piece: string }): JSX.Element {
  const { body, lines, dots = [], eyes = [] } = shapes[piece.toLowerCase()]!;
  return (
    <svg class={`piece ${piece < "a" ? "white" : "black"}`} viewBox="0 0 45 45" aria-hidden="true">
      <path d={body} />
      {dots.map(([cx, cy, r]) => (
        <circle key={cx} cx={cx} cy={cy} r={r} />
      ))}
      {lines && <path class="lines" d={lines} />}
      {eyes.map(([cx, cy, r]) => (
        <circle key={cx} class="eye" cx={cx} cy={cy} r={r} />
      ))}
    </svg>
  );
}
