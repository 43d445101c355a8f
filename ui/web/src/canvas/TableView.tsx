/** A table on a node: sorted by a click on a column's name, copied as CSV. */
import { ArrowDown, ArrowUp, Copy } from "lucide-react";
import { useState } from "react";
import { csvOf, isOfNumbers, sorted, type Order } from "../drawing/table";
import { copyText } from "../state/export";

interface Props {
  readonly head: readonly string[];
  readonly rows: readonly (readonly string[])[];
  /** Whether the file has more rows. */
  readonly cut: boolean;
}

export function TableView({ head, rows, cut }: Props) {
  const [order, setOrder] = useState<Order | null>(null);
  const seen = sorted(rows, order);
  const sides = head.map((_, column) => (isOfNumbers(rows, column) ? "number" : undefined));
  // Up, down, as it is in the file.
  const click = (column: number) =>
    setOrder(
      order?.column !== column
        ? { column, descending: false }
        : order.descending
          ? null
          : { column, descending: true },
    );
  return (
    <div className="table-preview nowheel nodrag">
      <table>
        <thead>
          <tr>
            {head.map((cell, i) => {
              const own = order?.column === i ? order : null;
              const Arrow = own?.descending ? ArrowDown : ArrowUp;
              return (
                <th
                  key={i}
                  className={sides[i]}
                  aria-sort={own ? (own.descending ? "descending" : "ascending") : "none"}
                >
                  <button onClick={() => click(i)}>
                    {cell}
                    {own ? <Arrow size={10} aria-hidden /> : null}
                  </button>
                </th>
              );
            })}
          </tr>
        </thead>
        <tbody>
          {seen.map((row, i) => (
            <tr key={i}>
              {row.map((cell, j) => (
                <td key={j} className={sides[j]}>
                  {cell}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
      <div className="table-foot">
        <span>
          {cut ? "the first " : ""}
          {rows.length === 1 ? "1 row" : `${rows.length} rows`}
        </span>
        <button
          className="field-button"
          aria-label="Copy the table as CSV"
          data-tip="text|Copy as CSV"
          onClick={() => void copyText(csvOf(head, seen))}
        >
          <Copy size={12} aria-hidden />
        </button>
      </div>
    </div>
  );
}
