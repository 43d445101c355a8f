import { describe, expect, it } from "vitest";
import { sorted, withinFolder } from "../src/document/bringing";
import {
  giveMask,
  loaderOf,
  maskedPicture,
  maskPorts,
  pathPort,
  picturePortOf,
} from "../src/document/pictures";
import { CATALOG } from "./catalog";
import { docOf, KINDS } from "./documents";

const files = (...paths: string[]) => paths.map((path) => ({ path, type: "" }));
const paths = (some: readonly { path: string }[]) => some.map(({ path }) => path);

describe("files that are brought", () => {
  it("are pictures, workflows, captions beside pictures, or others", () => {
    const found = sorted(files("a.PNG", "b.jpeg", "b.txt", "w.json", "x.pdf", ".DS_Store", "Thumbs.db"));
    expect(paths(found.pictures)).toEqual(["a.PNG", "b.jpeg"]);
    expect(paths(found.captions)).toEqual(["b.txt"]);
    expect(paths(found.workflows)).toEqual(["w.json"]);
    expect(paths(found.others)).toEqual(["x.pdf"]);
    expect(found.folder).toBe("");
    expect(paths(sorted(files("b.txt")).others)).toEqual(["b.txt"]);
  });

  it("are told by their type where the name tells nothing, and a drawing in SVG is no picture", () => {
    const pasted = { path: "image", type: "image/png" };
    expect(sorted([pasted]).pictures).toEqual([pasted]);
    expect(sorted([{ path: "logo.svg", type: "image/svg+xml" }]).pictures).toEqual([]);
  });

  it("keep the folders within the one that was dropped, which are classes", () => {
    const one = sorted(files("holiday/cats/1.png", "holiday/dogs/1.png", "holiday/metadata.json"));
    expect(one.folder).toBe("holiday");
    expect(one.workflows).toEqual([]);
    expect(paths(one.pictures).map((path) => withinFolder(path, one.folder))).toEqual([
      "cats/1.png",
      "dogs/1.png",
    ]);
    const two = sorted(files("cats/1.png", "dogs/1.png"));
    expect(two.folder).toBe("pictures");
    expect(withinFolder("cats/1.png", two.folder)).toBe("cats/1.png");
  });
});

describe("what takes a picture", () => {
  it("is told from the catalog", () => {
    expect(loaderOf(CATALOG, "image")?.spec.type).toBe("load_image");
    expect(loaderOf(CATALOG, "mask")?.spec.type).toBe("load_mask");
    expect(loaderOf(CATALOG, "dataset")?.spec.type).toBe("image_folder");
    const { load_image: load, image_folder: folder, hide } = CATALOG.nodes;
    expect(load && pathPort(CATALOG, load, "image")?.name).toBe("path");
    expect(folder && pathPort(CATALOG, folder, "image")).toBeNull();
    expect(hide && pathPort(CATALOG, hide, "image")).toBeNull();
    const doc = docOf({ a: { type: "load_mask" }, b: { type: "hide" }, c: { type: "unheard_of" } });
    expect(["a", "b", "c"].map((id) => picturePortOf(doc, KINDS, id)?.name)).toEqual([
      "path",
      undefined,
      undefined,
    ]);
  });
});

describe("a painted mask", () => {
  const nodes = {
    photo: { type: "load_image", params: { path: "a.jpg", height: 64, width: 32 } },
    hidden: { type: "hide", wires: { images: "photo" } },
  };

  it("comes from a new loader of the picture's size, wired where it is wanted", () => {
    const { doc, loader, readers } = giveMask(docOf(nodes), KINDS, "photo", "uploads/m.png", [0, 200]);
    expect(loader).toBe("load_mask");
    expect(readers).toEqual(["hidden"]);
    expect(doc.nodes.load_mask?.params).toEqual({ path: "uploads/m.png", height: 64, width: 32 });
    expect(doc.nodes.hidden?.wires).toEqual({ images: "photo", mask: "load_mask" });
    expect(maskedPicture(doc, KINDS, "load_mask")).toBe("photo");
    const again = giveMask(doc, KINDS, "photo", "uploads/n.png", [0, 200]);
    expect(again.loader).toBe("load_mask");
    expect(again.doc.nodes.load_mask?.params.path).toBe("uploads/n.png");
    expect(Object.keys(again.doc.nodes)).toEqual(Object.keys(doc.nodes));
  });

  it("takes the place of a mask that was made otherwise, wherever that was read", () => {
    const doc = docOf({
      ...nodes,
      random: { type: "random_mask", wires: { images: "photo" } },
      hidden: { type: "hide", wires: { images: "photo", mask: "random" } },
      other: { type: "image" },
      far: { type: "hide", wires: { images: "other", mask: "random" } },
      strange: { type: "hide", wires: { images: "other" } },
    });
    expect(maskPorts(doc, KINDS, "photo").map(({ node }) => node)).toEqual(["hidden", "far"]);
    const { doc: masked, loader } = giveMask(doc, KINDS, "photo", "m.png", [0, 0]);
    expect(loader).toBe("load_mask");
    for (const id of ["hidden", "far"]) expect(masked.nodes[id]?.wires.mask).toBe("load_mask");
    expect(masked.nodes.strange?.wires).toEqual({ images: "other" });
    expect(masked.nodes.random).toBe(doc.nodes.random);
  });

  it("is a loader by itself where nothing wants a mask, or where the mask loader is what was painted on", () => {
    const { doc, readers } = giveMask(docOf({ other: { type: "image" } }), KINDS, "other", "m.png", [0, 0]);
    expect(readers).toEqual([]);
    expect(doc.nodes.load_mask?.params).toEqual({ path: "m.png" });
  });
});
