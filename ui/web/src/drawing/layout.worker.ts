/** The quick layout of a large sheet, beside the page. */
import { layOutPlan } from "./layout";
import type { Plan } from "./plan";

addEventListener("message", ({ data }: MessageEvent<Plan>) => postMessage(layOutPlan(data)));
