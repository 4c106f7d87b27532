/** The widget for React 18 and later. */
import type { ReactElement } from "react";
import type { Trouble, Upload, Uploads } from "./index";

/** The element's attributes by their names, and what it tells as functions. */
export interface UploadDropzoneProps {
  slot: string;
  name?: string;
  required?: boolean;
  disabled?: boolean;
  layout?: "list" | "compact" | "gallery";
  theme?: "light" | "dark";
  heading?: string;
  hint?: string;
  label?: string;
  folders?: "";
  page?: "";
  url?: string;
  className?: string;
  id?: string;
  /** Whose uploads it shows; read once. */
  uploads?: Uploads;
  onAdd?: (upload: Upload) => void;
  onComplete?: (upload: Upload) => void;
  onError?: (trouble: Trouble) => void;
  onRemove?: (upload: Upload) => void;
}

export declare function UploadDropzone(props: UploadDropzoneProps): ReactElement;
