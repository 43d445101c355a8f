/** How far the files are that go to the server. */
import { useSending } from "../state/uploads";

export function Sending() {
  const now = useSending((state) => state.now);
  if (!now) return null;
  return (
    <div className="sending" role="status">
      <span>
        Sending {now.done} of {now.total}
      </span>
      <progress value={now.done} max={now.total} aria-label="Files that were sent" />
    </div>
  );
}
