/** Pictures of all runs: searched by what made them, marked, compared, sent to nodes, thrown away. */
import { Heart, Search, SquareSplitHorizontal, Trash2, Workflow } from "lucide-react";
import { useCallback, useEffect, useState } from "react";
import { stepName } from "../drawing/format";
import { api, fileUrl } from "../server/api";
import type { FoundPicture } from "../server/types";
import { isLive } from "../state/runAge";
import { useRuns } from "../state/runs";
import { sayError, useUi } from "../state/ui";
import { useViewer } from "../state/viewer";
import { IconButton } from "../widgets/IconButton";
import { compare, sendToNode, throwAway } from "./pictureActions";

const PAGE = 48;
const SETTLES = 250; // milliseconds without a key until the server is asked

export function Gallery() {
  const finished = useRuns((state) => Object.values(state.runs).filter((run) => !isLive(run)).length);
  const [query, setQuery] = useState("");
  const [favourites, setFavourites] = useState(false);
  const [previews, setPreviews] = useState(false);
  const [pictures, setPictures] = useState<readonly FoundPicture[] | null>(null);
  const [before, setBefore] = useState(0);
  const [round, setRound] = useState(0);
  const ask = useCallback(
    (from: number) => api.gallery({ query, favourites, previews, limit: PAGE, before: from }),
    [query, favourites, previews],
  );
  useEffect(() => {
    let current = true;
    const timer = setTimeout(() => {
      ask(0).then((found) => {
        if (!current) return;
        setPictures(found.pictures);
        setBefore(found.before);
      }, sayError);
    }, SETTLES);
    return () => {
      current = false;
      clearTimeout(timer);
    };
  }, [ask, finished, round]);
  const more = () => {
    ask(before).then((found) => {
      setPictures((known) => [...(known ?? []), ...found.pictures]);
      setBefore(found.before);
    }, sayError);
  };
  const mark = ({ path, favourite }: FoundPicture) => {
    api
      .favour(path, !favourite)
      .then(
        (now) =>
          setPictures(
            (known) => known?.map((own) => (own.path === path ? { ...own, favourite: now } : own)) ?? null,
          ),
        sayError,
      );
  };
  return (
    <div className="gallery">
      <label className="gallery-search">
        <Search size={13} aria-hidden />
        <input
          type="search"
          aria-label="Search the pictures"
          placeholder="Prompt, title, node, seed=7, #12"
          value={query}
          onChange={(event) => setQuery(event.target.value)}
        />
      </label>
      <div className="gallery-filters">
        <label className="check">
          <input
            type="checkbox"
            checked={favourites}
            onChange={(event) => setFavourites(event.target.checked)}
          />{" "}
          favourites
        </label>
        <label className="check">
          <input type="checkbox" checked={previews} onChange={(event) => setPreviews(event.target.checked)} />{" "}
          with previews
        </label>
      </div>
      {pictures !== null && pictures.length === 0 && before === 0 ? (
        <p className="quiet">
          {query || favourites ? "No pictures that fit." : "No pictures yet. What runs save is kept here."}
        </p>
      ) : null}
      <ul className="gallery-grid">
        {pictures?.map((picture) => (
          <Tile
            key={picture.path}
            picture={picture}
            mark={() => mark(picture)}
            discard={() => {
              setPictures((known) => known?.filter(({ path }) => path !== picture.path) ?? null);
              throwAway(picture.path, () => setRound((n) => n + 1));
            }}
          />
        ))}
      </ul>
      {before > 0 ? (
        <button className="small-button" onClick={more}>
          Older pictures
        </button>
      ) : null}
    </div>
  );
}

function Tile({ picture, mark, discard }: { picture: FoundPicture; mark: () => void; discard: () => void }) {
  const { path, node, run, turn, favourite } = picture;
  const isPinned = useViewer((state) => state.pinned === path);
  const name = `${node.replaceAll("_", " ")} of run ${run}`;
  return (
    <li className={isPinned ? "pinned" : ""}>
      <button className="gallery-picture" onClick={() => useUi.setState({ picture: path })}>
        <img src={fileUrl(path, 256)} alt={`${node}, run ${run}`} loading="lazy" />
        <span>
          {node.replaceAll("_", " ")}
          {turn === null ? "" : ` · ${stepName(turn)}`} · #{run}
        </span>
      </button>
      <span className="gallery-actions">
        <IconButton
          small
          label={favourite ? `No favourite any more: ${name}` : `Favourite: ${name}`}
          on={favourite}
          run={mark}
        >
          <Heart size={13} fill={favourite ? "currentColor" : "none"} />
        </IconButton>
        <IconButton small label={`Compare ${name}`} on={isPinned} run={() => compare(path)}>
          <SquareSplitHorizontal size={13} />
        </IconButton>
        <IconButton small label={`Send ${name} to a node`} run={() => sendToNode(path)}>
          <Workflow size={13} />
        </IconButton>
        <IconButton small label={`Throw away ${name}`} run={discard}>
          <Trash2 size={13} />
        </IconButton>
      </span>
    </li>
  );
}
