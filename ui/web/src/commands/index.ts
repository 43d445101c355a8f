/** Every way to change the document. Only here is `edit` called, so that a test can try them all. */
export * from "./homes";
export * from "./nodes";
export * from "./places";
export * from "./wires";
export * from "./workflow";
