import type { JSX } from "preact";
import { useEffect, useMemo } from "preact/hooks";
import "../style/board.css";
import "../style/chess.css";
import "../style/sides.css";
import "../style/game.css";
import { Icon } from "../icons.js";
import { client, guest } from "../link.js";
import { nameOf } from "../names.js";
import { follow, path } from "../router.js";
import { ArchivePage } from "./archive-page.js";
import { GamePage } from "./game-page.js";
import { LobbyPage } from "./lobby-page.js";
import { Player } from "./player.js";
import { controlText, delayText, gamePath, idOf } from "./records.js";
import { ReplayPage } from "./replay-page.js";

/** Chess: the lobby, a game, the archive, and a game out of it. */
export function ChessPage(): JSX.Element {
  const c = client.value;
  const user = guest.value?.user;
  const player = useMemo(() => (c && user ? new Player(c, user) : undefined), [c, user]);
  useEffect(() => () => player?.close(), [player]);
  const [, , place, id] = path.value.split("/");
  if (!player) return <main class="chess" />;
  return (
    <main class="chess">
      <Received player={player} />
      <GoesOn player={player} shown={place === "game" ? id : undefined} />
      {place === "game" && id ? (
        <GamePage key={id} player={player} id={id} />
      ) : place === "archive" && id ? (
        <ReplayPage key={id} id={id} user={player.user} />
      ) : place === "archive" ? (
        <ArchivePage user={player.user} />
      ) : (
        <LobbyPage player={player} />
      )}
    </main>
  );
}

/** Says, on every other page of chess, that one is playing. */
function GoesOn({ player, shown }: { player: Player; shown: string | undefined }): JSX.Element | null {
  const others = player.games.value.filter((g) => idOf(g.game) !== shown);
  const g = others[0];
  // The lobby lists them itself.
  if (!g || path.value === "/chess") return null;
  return (
    <p class="strip-note small" role="status">
      <Icon name="chess" />
      <span>
        Your game against <bdi>{nameOf(g.opponent.user)}</bdi> ({controlText(g)}) goes on{others.length > 1 ? `, and ${others.length - 1} more` : ""}.
      </span>
      <a class="button primary small" href={gamePath(g.game)} onClick={follow}>
        Back to it
      </a>
    </p>
  );
}

/** Challenges, wherever one is. */
function Received({ player }: { player: Player }): JSX.Element | null {
  const c = player.received.value[0];
  if (!c) return null;
  return (
    <div class="strip-note small" role="status">
      <Icon name="swords" />
      <span>
        <bdi>{nameOf(c.by ?? "")}</bdi> <span class="number quiet">{c.rating}</span> challenges you: <b class="number">{controlText(c)}</b>, {c.rated ? "rated" : "casual"}
        {c.wants ? `, and takes ${c.wants}` : ""}
        {c.fen ? <>, from <span title={c.fen} class="textual">a set position</span></> : ""}
        {c.delay ? `, seen by others ${delayText(c.delay)} later` : ""}.
      </span>
      <span class="choices">
        <button type="button" class="primary" onClick={() => void player.answer(c, "accept")}>
          Accept
        </button>
        <button type="button" onClick={() => void player.answer(c, "decline")}>
          Decline
        </button>
      </span>
    </div>
  );
}
