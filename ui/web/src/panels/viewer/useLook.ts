/** Zoom and pan of a picture by wheel, drag, two fingers and keys. What one finger or the left button does can be handed in. */
import { useCallback, useEffect, useRef, useState, type CSSProperties, type RefObject } from "react";
import type { Point, Size } from "../../drawing/geometry";
import { fitted, inPicture, moved, zoomed, type Look } from "../../drawing/zooming";
import { pointOf, useHands } from "../useHands";

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
  readonly handlers: ReturnType<typeof useHands>;
}

export function useLook(picture: Size, pen?: Pen): Looking {
  const box = useRef<HTMLDivElement>(null);
  const [room, setRoom] = useState<Size>([1, 1]);
  const [own, setOwn] = useState<Look | null>(null);
  const look = own ?? fitted(picture, room);
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
  const at = useCallback(([x, y]: Point): Point => {
    const rim = box.current?.getBoundingClientRect();
    return [x - (rim?.left ?? 0), y - (rim?.top ?? 0)];
  }, []);
  const zoom = useCallback(
    (factor: number, about: Point) => change((now) => zoomed(now, factor, at(about))),
    [change, at],
  );
  const handlers = useHands(box, {
    zoom,
    down(event, fingers) {
      if (fingers > 1) {
        if (drawing.current) pen?.cancel();
        drawing.current = false;
      } else if (pen && event.button === 0) {
        drawing.current = true;
        pen.down(inPicture(look, at(pointOf(event))));
      }
    },
    move(from, to, fingers, event) {
      if (drawing.current) {
        // What the browser gathered since the last frame is part of the line.
        const steps = event.nativeEvent.getCoalescedEvents();
        for (const step of steps.length > 0 ? steps : [event.nativeEvent])
          pen?.move(inPicture(look, at(pointOf(step))));
      } else if (!pen || fingers > 1 || event.buttons > 1)
        change((own) => moved(own, [to[0] - from[0], to[1] - from[1]]));
    },
    up() {
      if (drawing.current) pen?.up();
      drawing.current = false;
    },
  });
  return {
    box,
    look,
    zoom: (factor) => change((now) => zoomed(now, factor, [room[0] / 2, room[1] / 2])),
    move: (by) => change((now) => moved(now, by)),
    fit: () => setOwn(null),
    handlers,
  };
}
