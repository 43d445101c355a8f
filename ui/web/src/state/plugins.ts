/** Node packages: which there are, and loading edited ones while the server runs. */
import { create } from "zustand";
import { api } from "../server/api";
import type { Plugin } from "../server/types";
import { t } from "../strings";
import { setCatalog } from "./editor";
import { say, sayError } from "./ui";
import { startUsage } from "./usage";

interface Plugins {
  readonly list: readonly Plugin[] | null;
  readonly busy: boolean;
}

export const usePlugins = create<Plugins>()(() => ({ list: null, busy: false }));

/** Ask the server what there is. */
export async function lookAtPlugins(): Promise<void> {
  try {
    usePlugins.setState({ list: await api.plugins() });
  } catch (error) {
    sayError(error);
  }
}

/** Load edited packages; the server then tells every page that the nodes are others. */
export async function reloadPlugins(): Promise<void> {
  usePlugins.setState({ busy: true });
  try {
    usePlugins.setState({ list: await api.reload() });
    say(t("Node packages were loaded anew"), "good");
  } catch (error) {
    sayError(error);
  }
  usePlugins.setState({ busy: false });
}

/** The nodes are others now. */
export async function takeNodes(): Promise<void> {
  try {
    setCatalog(await api.nodes());
    startUsage();
  } catch (error) {
    sayError(error);
  }
}
