/** Every way to change the document. Only here is `edit` called, so that a test can try them all. */
export { addBlueprint } from "./blueprints";
export * from "./definitions";
export * from "./homes";
export * from "./nodes";
export * from "./pictures";
export * from "./places";
export * from "./seeds";
export * from "./sweeping";
export * from "./structure";
export * from "./wires";
export * from "./workflow";
