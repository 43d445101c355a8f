/** Deleted workflows, to put back. */
import { Undo2 } from "lucide-react";
import { ago } from "../drawing/format";
import { api } from "../server/api";
import type { Discarded as Gone } from "../server/types";
import { shortPath } from "../state/shelf";

export function Discarded({ gone, told }: { gone: readonly Gone[]; told: (error: unknown) => void }) {
  if (gone.length === 0) return null;
  return (
    <section>
      <h3>Deleted</h3>
      <ul className="draft-list">
        {gone.slice(0, 20).map(({ path, time }) => (
          <li key={path} className="forgotten">
            <s>{shortPath(path)}</s>
            <small>{ago(time)}</small>
            <button
              className="small-button"
              aria-label={`Put back ${shortPath(path)}`}
              onClick={() => void api.restore(path).catch(told)}
            >
              <Undo2 size={12} aria-hidden /> Put back
            </button>
          </li>
        ))}
      </ul>
    </section>
  );
}
