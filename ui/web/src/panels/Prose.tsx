/** A docstring as paragraphs, lists and formulas. What documents a port is left out: the port's own line says it. */
import { Fragment } from "react";

export function Prose({ text, without }: { text: string; without: readonly string[] }) {
  return (
    <div className="prose">
      {blocks(text, without).map((block, i) => {
        if (block.kind === "formula") return <pre key={i}>{block.lines.join("\n")}</pre>;
        if (block.kind === "list")
          return (
            <ul key={i}>
              {block.lines.map((line, j) => (
                <li key={j}>{inline(line)}</li>
              ))}
            </ul>
          );
        return <p key={i}>{inline(block.lines.join(" "))}</p>;
      })}
    </div>
  );
}

interface Block {
  kind: "text" | "formula" | "list";
  lines: string[];
}

export function blocks(text: string, without: readonly string[]): Block[] {
  const found: Block[] = [];
  let open = null as Block | null;
  let skipping = false;
  for (const line of text.split("\n")) {
    const name = /^(\w+): /.exec(line)?.[1];
    if (name !== undefined && without.includes(name)) {
      skipping = true;
      open = null;
      continue;
    }
    if (line.trim() === "") {
      open = null;
      skipping = false;
      continue;
    }
    if (skipping && /^\s/.test(line)) continue;
    skipping = false;
    const kind = /^\s*[-*] /.test(line) ? "list" : isFormula(line) ? "formula" : "text";
    if (open?.kind !== kind) {
      open = { kind, lines: [] };
      found.push(open);
    }
    open.lines.push(kind === "list" ? line.replace(/^\s*[-*] /, "") : line.trim());
  }
  return found;
}

/** A line that is indented or reads like an equation and not like a sentence. */
const isFormula = (line: string): boolean =>
  /^\s{4}/.test(line) ||
  (/ [=←∝≈] /.test(line) &&
    !/[.;]$/.test(line.trim()) &&
    line.trim().length < 90 &&
    !/^[A-Z][a-z]+ [a-z]+ /.test(line));

/** `code` in text. */
function inline(text: string): React.ReactNode {
  return text
    .split(/(`[^`]+`)/)
    .map((part, i) => (
      <Fragment key={i}>
        {part.startsWith("`") && part.endsWith("`") && part.length > 1 ? (
          <code>{part.slice(1, -1)}</code>
        ) : (
          part
        )}
      </Fragment>
    ));
}
