/** A node's documentation as paragraphs, lists and formulas. */
import { Fragment } from "react";

export function Prose({ text }: { text: string }) {
  return (
    <div className="prose">
      {blocks(text).map((block, i) => {
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

export function blocks(text: string): Block[] {
  const found: Block[] = [];
  let open = null as Block | null;
  for (const line of text.split("\n")) {
    if (line.trim() === "") {
      open = null;
      continue;
    }
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
