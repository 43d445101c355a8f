/** Zoom and pan of a picture by wheel, drag, two fingers and keys. What one finger or the left button does can be handed in. */
import {
  useCallback,
  useEffect,
  useRef,
  useState,
  type CSSProperties,
  type PointerEvent,
  type RefObject,
} from "react";
import type { Point, Size } from "../../drawing/geometry";
import { fitted, inPicture, moved, pinched, zoomed, type Look } from "../../drawing/zooming";

/** Where a picture lies in its box, as a style. */
export const lying = ([width, height]: Size, { scale, at: [x, y] }: Look): CSSProperties => ({
  width,
  height,
  transform: `translate(${x}px, ${y}px) scale(${scale})`,
});

/** What the left button does instead of moving the picture; points are the picture's pixels. */
export interface Pen {
  readonly down: (at: Point) => void;
  readonly move: (at: Point) => void;
  readonly up: () => void;
  /** A second finger came: what the first began is not meant. */
  readonly cancel: () => void;
}

export interface Looking {
  readonly box: RefObject<HTMLDivElement | null>;
  readonly look: Look;
  readonly zoom: (factor: number) => void;
  readonly move: (by: Point) => void;
  readonly fit: () => void;
  readonly handlers: {
    readonly onPointerDown: (event: PointerEvent) => void;
    readonly onPointerMove: (event: PointerEvent) => void;
    readonly onPointerUp: (event: PointerEvent) => void;
    readonly onPointerCancel: (event: PointerEvent) => void;
  };
}

export function useLook(picture: Size, pen?: Pen): Looking {
  const box = useRef<HTMLDivElement>(null);
  const [room, setRoom] = useState<Size>([1, 1]);
  const [own, setOwn] = useState<Look | null>(null);
  const look = own ?? fitted(picture, room);
  const held = useRef(new Map<number, Point>());
  const drawing = useRef(false);
  const change = useCallback(
    (how: (look: Look) => Look) => setOwn((now) => how(now ?? fitted(picture, room))),
    [picture, room],
  );
  useEffect(() => {
    const element = box.current;
    if (!element) return undefined;
    const watcher = new ResizeObserver(() => setRoom([element.clientWidth, element.clientHeight]));
    watcher.observe(element);
    return () => watcher.disconnect();
  }, []);
  const at = (event: { clientX: number; clientY: number }): Point => {
    const rim = box.current?.getBoundingClientRect();
    return [event.clientX - (rim?.left ?? 0), event.clientY - (rim?.top ?? 0)];
  };
  useEffect(() => {
    const element = box.current;
    const wheel = (event: WheelEvent) => {
      event.preventDefault(); // React listens passively, and the page would scroll or zoom
      const rim = element?.getBoundingClientRect();
      const about: Point = [event.clientX - (rim?.left ?? 0), event.clientY - (rim?.top ?? 0)];
      change((now) => zoomed(now, Math.exp(-event.deltaY * (event.ctrlKey ? 0.01 : 0.0015)), about));
    };
    element?.addEventListener("wheel", wheel, { passive: false });
    return () => element?.removeEventListener("wheel", wheel);
  }, [change]);

  const release = (event: PointerEvent) => {
    held.current.delete(event.pointerId);
    if (drawing.current) pen?.up();
    drawing.current = false;
  };
  return {
    box,
    look,
    zoom: (factor) => change((now) => zoomed(now, factor, [room[0] / 2, room[1] / 2])),
    move: (by) => change((now) => moved(now, by)),
    fit: () => setOwn(null),
    handlers: {
      onPointerDown(event) {
        event.currentTarget.setPointerCapture(event.pointerId);
        held.current.set(event.pointerId, at(event));
        if (held.current.size > 1) {
          if (drawing.current) pen?.cancel();
          drawing.current = false;
        } else if (pen && event.button === 0) {
          drawing.current = true;
          pen.down(inPicture(look, at(event)));
        }
      },
      onPointerMove(event) {
        const before = held.current.get(event.pointerId);
        if (!before) return;
        const now = at(event);
        const others = [...held.current].filter(([id]) => id !== event.pointerId).map(([, point]) => point);
        held.current.set(event.pointerId, now);
        if (drawing.current) {
          // What the browser gathered since the last frame is part of the line.
          const steps = event.nativeEvent.getCoalescedEvents();
          for (const step of steps.length > 0 ? steps : [event.nativeEvent])
            pen?.move(inPicture(look, at(step)));
        } else if (others[0]) {
          const other = others[0];
          change((own) => pinched(own, [before, other], [now, other]));
        } else if (!pen || event.buttons > 1)
          change((own) => moved(own, [now[0] - before[0], now[1] - before[1]]));
      },
      onPointerUp: release,
      onPointerCancel: release,
    },
  };
}
