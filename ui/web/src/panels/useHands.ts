/** What hands do on a box: a wheel and two fingers zoom, a pointer moves. Points are the window's pixels. */
import { useEffect, useRef, type PointerEvent, type RefObject } from "react";
import type { Point } from "../drawing/geometry";
import { pinchOf } from "../drawing/zooming";

export interface Hands {
  /** factor: above 1 is closer. about: what stays where it is. */
  readonly zoom: (factor: number, about: Point) => void;
  readonly move: (from: Point, to: Point, fingers: number, event: PointerEvent) => void;
  readonly down?: (event: PointerEvent, fingers: number) => void;
  readonly up?: (event: PointerEvent) => void;
}

export const pointOf = ({ clientX, clientY }: { clientX: number; clientY: number }): Point => [
  clientX,
  clientY,
];

export function useHands(box: RefObject<HTMLElement | null>, hands: Hands) {
  const held = useRef(new Map<number, Point>());
  const { zoom } = hands;
  useEffect(() => {
    const element = box.current;
    const wheel = (event: WheelEvent) => {
      event.preventDefault(); // React listens passively, and the page would scroll or zoom
      zoom(Math.exp(-event.deltaY * (event.ctrlKey ? 0.01 : 0.0015)), pointOf(event));
    };
    element?.addEventListener("wheel", wheel, { passive: false });
    return () => element?.removeEventListener("wheel", wheel);
  }, [box, zoom]);
  const release = (event: PointerEvent) => {
    held.current.delete(event.pointerId);
    hands.up?.(event);
  };
  return {
    onPointerDown(event: PointerEvent) {
      event.currentTarget.setPointerCapture(event.pointerId);
      held.current.set(event.pointerId, pointOf(event));
      hands.down?.(event, held.current.size);
    },
    onPointerMove(event: PointerEvent) {
      const before = held.current.get(event.pointerId);
      if (!before) return;
      const now = pointOf(event);
      const other = [...held.current].find(([id]) => id !== event.pointerId)?.[1];
      held.current.set(event.pointerId, now);
      if (!other) {
        hands.move(before, now, 1, event);
        return;
      }
      const { factor, from, to } = pinchOf([before, other], [now, other]);
      zoom(factor, from);
      hands.move(from, to, held.current.size, event);
    },
    onPointerUp: release,
    onPointerCancel: release,
  };
}
