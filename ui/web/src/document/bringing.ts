/** What is to be done with files that were dropped or pasted, told by their names alone. */

/** A file, with its path within the folder that was dropped. */
export interface Named {
  readonly path: string;
  readonly type: string;
}

export interface Sorted<F extends Named> {
  readonly workflows: readonly F[];
  readonly pictures: readonly F[];
  /** Texts beside the pictures of a folder, which are their captions. */
  readonly captions: readonly F[];
  readonly others: readonly F[];
  /** The folder that all of them lie in; "" where they came one by one. */
  readonly folder: string;
}

const PICTURE = /\.(png|jpe?g|webp|gif|bmp|tiff?)$/i;
const CAPTION = /\.(txt|caption)$/i;
/** What systems leave in folders. */
const LEFT_OVER = /(^|\/)(\.[^/]*|Thumbs\.db|desktop\.ini|__MACOSX\/.*)$/i;

export function sorted<F extends Named>(files: readonly F[]): Sorted<F> {
  const seen = files.filter(({ path }) => !LEFT_OVER.test(path));
  const tops = new Set(seen.map(({ path }) => (path.includes("/") ? (path.split("/")[0] ?? "") : "")));
  const [top = ""] = tops;
  const folder = tops.size === 1 ? top : seen.some(({ path }) => path.includes("/")) ? "pictures" : "";
  const isPicture = ({ path, type }: Named) =>
    PICTURE.test(path) || (type.startsWith("image/") && !/svg/.test(type));
  const isCaption = ({ path }: Named) => CAPTION.test(path);
  const isWorkflow = ({ path }: Named) => /\.json$/i.test(path) && !path.includes("/");
  const pictures = seen.filter(isPicture);
  const captions = pictures.length > 1 || folder !== "" ? seen.filter(isCaption) : [];
  return {
    workflows: seen.filter((file) => !isPicture(file) && isWorkflow(file)),
    pictures,
    captions,
    others: seen.filter((file) => !isPicture(file) && !isWorkflow(file) && !captions.includes(file)),
    folder,
  };
}

/** The path of a file within its folder. */
export const withinFolder = (path: string, folder: string): string =>
  folder !== "" && path.startsWith(`${folder}/`) ? path.slice(folder.length + 1) : path;
