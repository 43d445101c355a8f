/** A text or table that a node wrote, shown on it. */
import { useEffect, useState } from "react";
import { csvRows, jsonRows } from "../drawing/table";
import { TableView } from "./TableView";

const MOST = 100_000; // characters

/** Of what is too long the first lines. */
function whole(text: string): string {
  if (text.length <= MOST) return text;
  return text.slice(0, text.lastIndexOf("\n", MOST) + 1 || MOST);
}

export function TextFile({ url, media }: { url: string; media: string }) {
  const [text, setText] = useState<string | null>(null);
  const [cut, setCut] = useState(false);
  useEffect(() => {
    let current = true;
    fetch(url)
      .then((response) => response.text())
      .then(
        (found) => {
          if (!current) return;
          setText(whole(found));
          setCut(found.length > MOST);
        },
        () => current && setText("The file cannot be read"),
      );
    return () => {
      current = false;
    };
  }, [url]);
  if (text === null) return <pre className="text-preview">…</pre>;
  const table = media.includes("csv") ? csvRows(text) : media.includes("json") ? jsonRows(text) : null;
  if (!table) return <pre className="text-preview nowheel nodrag">{text}</pre>;
  const [head = [], ...rows] = table;
  return <TableView head={head} rows={rows} cut={cut} />;
}
