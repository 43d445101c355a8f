/** What every dialog in the middle of the page stands in. */
import { X } from "lucide-react";
import { useEffect, useRef } from "react";
import { openDialog } from "../state/ui";
import { t } from "../strings";

export function Frame({
  title,
  wide,
  children,
}: {
  title: string;
  wide?: boolean;
  children: React.ReactNode;
}) {
  const box = useRef<HTMLDialogElement>(null);
  const close = () => openDialog(null);
  useEffect(() => {
    box.current?.showModal();
    // A modal dialog focuses its first button, which closes it; what wants the focus says so.
    box.current?.querySelector<HTMLElement>("[data-focus]")?.focus();
  }, []);
  return (
    <dialog
      ref={box}
      className={`dialog${wide ? " wide" : ""}`}
      aria-label={title}
      onCancel={(event) => {
        event.preventDefault(); // its "close" comes later, and would close what the next key has opened
        close();
      }}
      onClose={close}
      onPointerDown={(event) => event.target === event.currentTarget && close()}
    >
      <header className="side-head">
        <h2>{title}</h2>
        <button className="icon-button" aria-label={t("Close")} onClick={close}>
          <X size={15} />
        </button>
      </header>
      <div className="dialog-body" tabIndex={0}>
        {children}
      </div>
    </dialog>
  );
}
