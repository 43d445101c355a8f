/** Between what is painted, which is opaque where it is painted, and a mask's file, which is white there. */
import type { Size } from "../../drawing/geometry";

/** The mask of a file, as it would have been painted: white is opaque; of a file with transparent parts these are. */
export async function baseOf(url: string, size: Size, colour: string): Promise<ImageData> {
  const image = new Image();
  image.src = url;
  await image.decode();
  const { ground } = canvasOf(size);
  ground.drawImage(image, 0, 0, ...size);
  const data = ground.getImageData(0, 0, ...size);
  const pixels = data.data;
  let isErased = false;
  for (let i = 3; i < pixels.length; i += 4) isErased ||= (pixels[i] ?? 255) < 255;
  const [red, green, blue] = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
  for (let i = 0; i < pixels.length; i += 4) {
    const bright = ((pixels[i] ?? 0) + (pixels[i + 1] ?? 0) + (pixels[i + 2] ?? 0)) / 3;
    const painted = isErased ? 255 - (pixels[i + 3] ?? 0) : bright;
    pixels.set([red ?? 0, green ?? 0, blue ?? 0, painted], i);
  }
  return data;
}

/** What is painted, as a PNG that is white where it is opaque. */
export async function toFile(painted: HTMLCanvasElement): Promise<Blob> {
  const { canvas, ground } = canvasOf([painted.width, painted.height]);
  ground.drawImage(painted, 0, 0);
  ground.globalCompositeOperation = "source-in";
  ground.fillStyle = "#ffffff";
  ground.fillRect(0, 0, canvas.width, canvas.height);
  const file = await new Promise<Blob | null>((take) => canvas.toBlob(take, "image/png"));
  if (!file) throw new Error("The browser could not make a picture of the mask; is it very large?");
  return file;
}

function canvasOf([width, height]: Size): { canvas: HTMLCanvasElement; ground: CanvasRenderingContext2D } {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [width, height];
  const ground = canvas.getContext("2d", { willReadFrequently: true });
  if (!ground) throw new Error("This browser has no canvas to paint on");
  return { canvas, ground };
}
