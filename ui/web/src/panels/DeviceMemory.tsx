/** What lies on a run's device: each model on it, those that wait on the host or are streamed, and what is free. */
import { bytes } from "../drawing/format";
import { useRuns } from "../state/runs";

export function DeviceMemory() {
  const placed = useRuns((state) => state.view.placed);
  if (!placed) return null;
  const here = sizes(placed.here);
  const models = here.reduce((sum, [, size]) => sum + size, 0);
  const all = placed.budget ?? (placed.free === undefined ? models : models + placed.free);
  const away = [
    ...sizes(placed.streamed).map(([name, size]) => [name, size, "streamed"] as const),
    ...sizes(placed.waiting).map(([name, size]) => [name, size, "on the host"] as const),
  ];
  return (
    <section className="device-memory" aria-label={`Models on ${placed.device}`}>
      <p>
        <b>{placed.device}</b> {bytes(models)} of models
        {placed.free === undefined ? null : `, ${bytes(placed.free)} free`}
        {placed.budget === undefined ? null : ` of ${bytes(placed.budget)}`}
      </p>
      <div className="device-bar" aria-hidden>
        {here.map(([name, size]) => (
          <i key={name} style={{ width: `${(100 * size) / Math.max(all, 1)}%` }} />
        ))}
      </div>
      <ul>
        {here.map(([name, size]) => (
          <li key={name}>
            {name} <small>{bytes(size)}</small>
          </li>
        ))}
        {away.map(([name, size, where]) => (
          <li key={name} className="away">
            {name}{" "}
            <small>
              {bytes(size)} {where}
            </small>
          </li>
        ))}
      </ul>
    </section>
  );
}

function sizes(models: Readonly<Record<string, number>>): [string, number][] {
  return Object.entries(models).sort(([, a], [, b]) => b - a);
}
