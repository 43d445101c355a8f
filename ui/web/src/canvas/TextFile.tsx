/** A text or table that a node wrote, shown on it. */
import { useEffect, useState } from "react";

const MOST = 20_000; // characters

export function TextFile({ url, media }: { url: string; media: string }) {
  const [text, setText] = useState<string | null>(null);
  useEffect(() => {
    let current = true;
    fetch(url)
      .then((response) => response.text())
      .then(
        (found) => current && setText(found.slice(0, MOST)),
        () => current && setText("The file cannot be read"),
      );
    return () => {
      current = false;
    };
  }, [url]);
  if (text === null) return <pre className="text-preview">…</pre>;
  const table = media.includes("csv") ? csvRows(text) : media.includes("json") ? jsonRows(text) : null;
  if (!table) return <pre className="text-preview nowheel nodrag">{text}</pre>;
  const [head, ...rows] = table;
  return (
    <div className="table-preview nowheel nodrag">
      <table>
        <thead>
          <tr>
            {head?.map((cell, i) => (
              <th key={i}>{cell}</th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((row, i) => (
            <tr key={i}>
              {row.map((cell, j) => (
                <td key={j}>{cell}</td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

export function csvRows(text: string): string[][] {
  const rows = text
    .trim()
    .split(/\r?\n/)
    .map((line) => [...line.matchAll(/(?:^|,)(?:"((?:[^"]|"")*)"|([^,]*))/g)]);
  return rows.map((cells) => cells.map((cell) => (cell[1] ?? cell[2] ?? "").replaceAll('""', '"')));
}

/** A list of objects, or one object of plain values, as a table; null where it is neither. */
export function jsonRows(text: string): string[][] | null {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return null;
  }
  const say = (cell: unknown) =>
    typeof cell === "string"
      ? cell
      : typeof cell === "number"
        ? String(Number(cell.toPrecision(6)))
        : JSON.stringify(cell);
  if (
    Array.isArray(value) &&
    value.length > 0 &&
    value.every((row) => typeof row === "object" && row !== null)
  ) {
    const rows = value as Record<string, unknown>[];
    const head = [...new Set(rows.flatMap((row) => Object.keys(row)))];
    return [head, ...rows.map((row) => head.map((key) => (key in row ? say(row[key]) : "")))];
  }
  if (typeof value === "object" && value !== null && !Array.isArray(value)) {
    return [["", ""], ...Object.entries(value).map(([key, cell]) => [key, say(cell)])];
  }
  return null;
}
