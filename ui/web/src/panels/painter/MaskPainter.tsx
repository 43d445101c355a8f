/** A mask is painted over a picture: by mouse, pen, finger or keys. It is saved as a picture, and wired where it is wanted. */
import { Brush as BrushIcon, Contrast, Eraser, PaintBucket, Redo2, Trash2, Undo2 } from "lucide-react";
import { useEffect, useRef, useState, type KeyboardEvent } from "react";
import { setMask } from "../../commands";
import { apply, did, redid, stamp, undid, type Brush, type Step } from "../../drawing/brush";
import type { Point, Size } from "../../drawing/geometry";
import { inPicture } from "../../drawing/zooming";
import { api, fileUrl } from "../../server/api";
import { leavePainting, stopPainting, usePainting, type Painting } from "../../state/painting";
import { say, sayError } from "../../state/ui";
import { IconButton } from "../../widgets/IconButton";
import { lying, useLook, type Pen } from "../viewer/useLook";
import { baseOf, toFile } from "./maskFile";

const COLOUR = "#ff5a6e"; // told from most photographs; opaque here, and half of it is seen

export function MaskPainter() {
  const now = usePainting((state) => state.now);
  return now ? <Painter key={`${now.node} ${now.picture}`} {...now} /> : null;
}

function Painter({ node, picture, mask, strokes: before }: Painting) {
  const dialog = useRef<HTMLDialogElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const base = useRef<ImageData | null>(null);
  const line = useRef<Point[]>([]);
  const [size, setSize] = useState<Size>([1, 1]);
  const [brush, setBrush] = useState<Brush>({ size: 40, hardness: 0.8, erases: false });
  const [strokes, setStrokes] = useState(before);
  const [cursor, setCursor] = useState<Point | null>(null);
  const [isDown, setDown] = useState(false);
  const [isReady, setReady] = useState(false);
  const [saving, setSaving] = useState(false);

  const ground = () => canvas.current?.getContext("2d") ?? null;
  const repaint = (done: readonly Step[]) => {
    const on = ground();
    if (!on) return;
    on.clearRect(0, 0, on.canvas.width, on.canvas.height);
    if (base.current) on.putImageData(base.current, 0, 0);
    for (const step of done) apply(on, step, COLOUR);
  };
  const change = (next: typeof strokes) => {
    setStrokes(next);
    repaint(next.done);
  };
  const draw = (to: Point) => {
    const on = ground();
    if (on) stamp(on, brush, line.current.at(-1) ?? to, to, COLOUR);
    line.current.push(to);
  };
  const finish = () => {
    const points = line.current;
    line.current = [];
    setDown(false);
    if (points.length > 0) setStrokes((now) => did(now, { kind: "stroke", brush, points }));
  };
  const pen: Pen = {
    down(at) {
      line.current = [];
      setDown(true);
      setCursor(at);
      draw(at);
    },
    move(at) {
      setCursor(at);
      draw(at);
    },
    up: finish,
    cancel() {
      line.current = [];
      setDown(false);
      repaint(strokes.done);
    },
  };
  const looking = useLook(size, pen);
  const { box, look } = looking;

  useEffect(() => {
    dialog.current?.showModal();
    box.current?.focus();
  }, [box]);

  // Once picture and mask are there: what was done before, and what was done while they were awaited.
  useEffect(() => {
    if (isReady) repaint(strokes.done);
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [isReady]);

  const begin = async (image: HTMLImageElement) => {
    const natural: Size = [image.naturalWidth, image.naturalHeight];
    setSize(natural);
    setCursor([natural[0] / 2, natural[1] / 2]);
    setBrush((own) => ({ ...own, size: Math.max(1, Math.round(Math.min(...natural) / 8)) }));
    if (mask !== null) base.current = await baseOf(fileUrl(mask), natural, COLOUR);
    setReady(true);
  };

  const save = async () => {
    if (!canvas.current || saving || !isReady) return;
    setSaving(true);
    try {
      const stem = (picture.split("/").at(-1) ?? "picture")
        .replace(/\.\w+$/, "")
        .replace(/-[0-9a-f]{8}$/, "");
      const { path } = await api.keepPicture(await toFile(canvas.current), `mask of ${stem}.png`, {
        mask: true,
      });
      const { loader, readers } = setMask(node, path);
      if (loader === null) say(`The mask is in ${path}; no node here loads masks`, "bad");
      else if (readers.length > 0) say(`The mask goes to ${readers.join(", ").replaceAll("_", " ")}`, "good");
      else say("The mask is on the sheet: wire it to what should be masked", "good");
      stopPainting();
    } catch (error) {
      sayError(error);
      setSaving(false);
    }
  };

  const step = (kind: "fill" | "clear" | "invert") => change(did(strokes, { kind }));
  const walk = (by: Point) => {
    const to: Point = [
      Math.min(size[0], Math.max(0, (cursor?.[0] ?? 0) + by[0])),
      Math.min(size[1], Math.max(0, (cursor?.[1] ?? 0) + by[1])),
    ];
    setCursor(to);
    if (isDown) draw(to);
  };
  const key = (event: KeyboardEvent) => {
    event.stopPropagation();
    const field = (event.target as HTMLElement).tagName === "INPUT";
    if (event.ctrlKey || event.metaKey) {
      if (event.key.toLowerCase() === "z") change(event.shiftKey ? redid(strokes) : undid(strokes));
      else if (event.key.toLowerCase() === "y") change(redid(strokes));
      else if (event.key === "Enter") void save();
      else return;
      event.preventDefault();
      return;
    }
    if (field || event.altKey) return;
    const far = Math.max(1, brush.size / (event.shiftKey ? 1 : 4));
    const onPicture = event.target === box.current;
    const keys: Record<string, () => void> = {
      b: () => setBrush({ ...brush, erases: false }),
      e: () => setBrush({ ...brush, erases: true }),
      f: () => step("fill"),
      i: () => step("invert"),
      "[": () => setBrush({ ...brush, size: Math.max(1, Math.round(brush.size / 1.25)) }),
      "]": () => setBrush({ ...brush, size: Math.min(Math.max(...size), Math.ceil(brush.size * 1.25)) }),
      "+": () => looking.zoom(1.25),
      "-": () => looking.zoom(0.8),
      "0": looking.fit,
      ...(onPicture
        ? {
            Delete: () => step("clear"),
            ArrowLeft: () => walk([-far, 0]),
            ArrowRight: () => walk([far, 0]),
            ArrowUp: () => walk([0, -far]),
            ArrowDown: () => walk([0, far]),
            " ": () => (isDown ? finish() : cursor && pen.down(cursor)),
          }
        : {}),
    };
    const run = keys[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!run) return;
    event.preventDefault();
    run();
  };

  return (
    <dialog
      ref={dialog}
      className="dialog painter"
      aria-label="Paint a mask"
      onKeyDown={key}
      onCancel={(event) => {
        event.preventDefault();
        leavePainting(strokes);
      }}
      onClose={() => leavePainting(strokes)}
    >
      <div className="painter-bar" role="toolbar" aria-label="Mask">
        <IconButton label="Brush (B)" on={!brush.erases} run={() => setBrush({ ...brush, erases: false })}>
          <BrushIcon size={15} />
        </IconButton>
        <IconButton label="Eraser (E)" on={brush.erases} run={() => setBrush({ ...brush, erases: true })}>
          <Eraser size={15} />
        </IconButton>
        <label className="painter-slide" data-tip="text|Width of the brush ([ and ])">
          Size
          <input
            type="range"
            min={1}
            max={Math.max(2, Math.round(Math.max(...size) / 2))}
            value={brush.size}
            onChange={(event) => setBrush({ ...brush, size: Number(event.target.value) })}
          />
          <output>{brush.size}</output>
        </label>
        <label className="painter-slide">
          Hardness
          <input
            type="range"
            min={0}
            max={1}
            step={0.05}
            value={brush.hardness}
            onChange={(event) => setBrush({ ...brush, hardness: Number(event.target.value) })}
          />
        </label>
        <IconButton label="Fill all (F)" run={() => step("fill")}>
          <PaintBucket size={15} />
        </IconButton>
        <IconButton label="Invert (I)" run={() => step("invert")}>
          <Contrast size={15} />
        </IconButton>
        <IconButton label="Clear (Delete)" run={() => step("clear")}>
          <Trash2 size={15} />
        </IconButton>
        <IconButton
          label="Undo (Ctrl Z)"
          disabled={strokes.done.length === 0}
          run={() => change(undid(strokes))}
        >
          <Undo2 size={15} />
        </IconButton>
        <IconButton
          label="Redo (Ctrl Shift Z)"
          disabled={strokes.undone.length === 0}
          run={() => change(redid(strokes))}
        >
          <Redo2 size={15} />
        </IconButton>
        <span className="grow" />
        <button className="small-button" onClick={() => leavePainting(strokes)}>
          Cancel
        </button>
        <button
          className="run-button"
          data-tip="text|Ctrl Enter"
          disabled={saving || !isReady}
          onClick={() => void save()}
        >
          Save the mask
        </button>
      </div>
      <div
        ref={box}
        className={`viewer-box painter-box${look.scale >= 2 ? " pixels" : ""}`}
        role="application"
        tabIndex={0}
        aria-label="Picture to paint on: arrows move the brush, Space puts it down and lifts it, plus and minus zoom"
        {...looking.handlers}
        onPointerMove={(event) => {
          looking.handlers.onPointerMove(event);
          const rim = event.currentTarget.getBoundingClientRect();
          setCursor(inPicture(look, [event.clientX - rim.left, event.clientY - rim.top]));
        }}
      >
        <div className="viewer-content" style={lying(size, look)}>
          <img
            src={fileUrl(picture)}
            alt={`Picture of ${node}`}
            draggable={false}
            onLoad={(event) => void begin(event.currentTarget).catch(sayError)}
            onError={() => {
              say("The picture of this node cannot be shown here; run to here first", "bad");
              stopPainting();
            }}
          />
          <canvas ref={canvas} className="painter-mask" width={size[0]} height={size[1]} />
        </div>
        {cursor ? (
          <div
            className={`painter-cursor${isDown ? " down" : ""}`}
            aria-hidden
            style={{
              width: brush.size * look.scale,
              height: brush.size * look.scale,
              left: look.at[0] + cursor[0] * look.scale,
              top: look.at[1] + cursor[1] * look.scale,
            }}
          />
        ) : null}
      </div>
      <p className="viewer-caption">
        What is painted is filled. Two fingers or the middle button move the picture, the wheel zooms.
      </p>
    </dialog>
  );
}
