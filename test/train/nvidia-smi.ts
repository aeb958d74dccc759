/**
 * What nvidia-smi has really said: messages, exit codes, forms and figures as recorded in the public threads that are named;
 * UUIDs are made up. Where a thread asks for other columns than ours, its values are in our order here, and those it does
 * not have are said to be added.
 *
 * Our query: index,uuid,name,memory.total,memory.free,mig.mode.current as csv,noheader,nounits.
 */
import type { Captured } from "../../src/train/launch/system.js";

export interface Recording {
  /** Where it was recorded, with what. */
  source: string;
  answer: Partial<Captured>;
}

const lines = (...all: string[]) => `${all.join("\n")}\n`;

export const RECORDINGS = {
  /** The query's own form, before MIG. Added: free memory as total less used, and MIG as such GPUs report it. */
  titanX: {
    source: "github.com/wookayin/gpustat/issues/5, October 2016; last column as in Syllo/nvtop#470",
    answer: {
      stdout: lines(
        "0, GPU-58dde1b1-ad07-a5d3-5816-2ae596f95dbf, GeForce GTX TITAN X, 12206, 11404, [N/A]",
        "1, GPU-e48acf61-b2ba-8440-55e8-ea0735cb1ea9, GeForce GTX TITAN X, 12206, 2174, [N/A]",
        "2, GPU-6aee3ea8-4a43-e311-9e72-134a13a42e14, GeForce GTX TITAN X, 12206, 5764, [N/A]",
        "3, GPU-46cc6a59-071c-5c8f-57ae-55cc00b1c843, GeForce GTX TITAN X, 12206, 5764, [N/A]",
        "4, GPU-9e1828da-1098-5d25-5031-c3948fc70877, GeForce GTX TITAN X, 12206, 5747, [N/A]",
        "5, GPU-e5104d0f-0c24-afd0-5aba-1dd0000c693a, GeForce GTX TITAN X, 12206, 5766, [N/A]",
        "6, GPU-7837c22f-fed9-6909-faaa-77b9a87448c5, GeForce GTX TITAN X, 12206, 5755, [N/A]",
        "7, GPU-463701d6-4b86-bdd4-1c4d-5c73eabb1257, GeForce GTX TITAN X, 12206, 5764, [N/A]",
      ),
    },
  },
  /** On the host a GPU with MIG reports its whole memory. Added: free memory. */
  migOnHost: {
    source: "HAMi's blog, Dynamic MIG in Kubernetes, August 2026: 8 RTX PRO 6000, driver 610.43.02",
    answer: {
      stdout: lines(
        ...[
          "7e58367b-cc02-9760-0149-792425830915",
          "945f77fe-4f09-d362-5042-77f3e5ce3540",
          "6bb20f53-7e7f-82cb-54b1-8916a74a0e6f",
          "e347eb26-a864-1bed-285a-be7385adaa98",
          "bddd86d1-7320-c6f4-e59c-3ab853f70bea",
          "d1571802-2e4b-2af9-72a3-0585fe2e0ea0",
          "49a71bda-6ee1-6b58-17f3-4fe6a568a959",
          "e60173c0-cc37-594e-7637-29202a92564f",
        ].map(
          (uuid, i) =>
            `${i}, GPU-${uuid}, NVIDIA RTX PRO 6000 Blackwell Server Edition, 97887, 97249, Enabled`,
        ),
      ),
    },
  },
  /** One of four with MIG. Added: name and memory. */
  migOnOne: {
    source: "github.com/kubernetes-sigs/dra-driver-nvidia-gpu/pull/852, February 2026 (MIG mode)",
    answer: {
      stdout: lines(
        "0, GPU-c13c14e1-ffa4-29f3-52e7-eec366b9b3d3, NVIDIA H100 80GB HBM3, 81559, 81075, Enabled",
        "1, GPU-b54973c6-b9a3-ffbc-68e7-a003dc680ee5, NVIDIA H100 80GB HBM3, 81559, 81075, Disabled",
        "2, GPU-e2da2809-373c-7c6c-c4f1-c970c37cdb44, NVIDIA H100 80GB HBM3, 81559, 81075, Disabled",
        "3, GPU-eacbc8d9-9ec5-b568-dfb2-6f20cfc8abb7, NVIDIA H100 80GB HBM3, 81559, 81075, Disabled",
      ),
    },
  },
  /** In a container that has a slice, the GPU's memory is nobody's business. Added: index, UUID, MIG mode. */
  migInContainer: {
    source: "github.com/Stability-AI/StableSwarmUI/issues/388, June 2024: driver 535.161.08",
    answer: {
      stdout: lines(
        "0, GPU-2c0369cc-99d4-3c44-0a73-0c9ad3dac9a0, NVIDIA A100-SXM4-80GB, [Insufficient Permissions], [Insufficient Permissions], Enabled",
      ),
    },
  },
  /** Unified memory. Added: index, UUID, name, MIG mode. */
  unifiedMemory: {
    source: "github.com/mostlygeek/llama-swap/issues/782, May 2026: NVIDIA GB10",
    answer: {
      stdout: lines("0, GPU-00000000-0000-0000-0000-000000000000, NVIDIA GB10, [N/A], [N/A], [N/A]"),
    },
  },
  noDriver: {
    source: "github.com/anderskm/gputil/issues/26, August 2020: a query as csv, with its exit code",
    answer: {
      code: 9,
      stdout: lines(
        "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. Make sure that the latest NVIDIA driver is installed and running.",
        "",
      ),
    },
  },
  noLibrary: {
    source:
      "github.com/warmshao/FasterLivePortrait/issues/8, July 2024; exit code as nvidia-smi documents it",
    answer: {
      code: 12,
      stdout: lines(
        "NVIDIA-SMI couldn't find libnvidia-ml.so library in your system. Please make sure that the NVIDIA Display Driver is properly installed and present in your system.",
        "Please also try adding directory that contains libnvidia-ml.so to your system PATH.",
      ),
    },
  },
  otherDriver: {
    source:
      "github.com/anderskm/gputil/issues/55, April 2024; on stdout: github.com/mozilla/translations/issues/1167",
    answer: {
      code: 18,
      stdout: lines(
        "Failed to initialize NVML: Driver/library version mismatch",
        "NVML library version: 535.161",
      ),
    },
  },
  unknownError: {
    source: "github.com/ultrabug/py3status/issues/764, February 2017: driver 340.102",
    answer: { code: 255, stdout: lines("Failed to initialize NVML: Unknown Error") },
  },
  noSupportedGpu: {
    source: "github.com/kubernetes-sigs/dra-driver-nvidia-gpu/issues/1008, April 2026",
    answer: {
      code: 255,
      stdout: lines(
        "Failed to initialize NVML: No supported GPUs were found",
        "Unable to determine the number of GPUs",
      ),
    },
  },
  /** Exit code 6 as nvidia-smi documents it: "a query to find an object was unsuccessful". */
  noDevices: {
    source: "github.com/NVIDIA/open-gpu-kernel-modules/issues/862, July 2025",
    answer: { code: 6, stdout: lines("No devices were found") },
  },
  /** Nobody wrote down the exit code; 15 is the documented one for a GPU that is lost. */
  noHandle: {
    source: "github.com/NVIDIA/open-gpu-kernel-modules/issues/387, October 2022: driver 520.61.05",
    answer: {
      code: 15,
      stdout: lines("Unable to determine the device handle for GPU 0000:0B:00.0: Unknown Error"),
    },
  },
  /** The list, the warning, and exit code 14. Added: UUID and free memory; the list of that thread is a table. */
  damagedInfoRom: {
    source: "github.com/NVIDIA/gpu-operator/issues/285, November 2021: driver 470.82.01",
    answer: {
      code: 14,
      stdout: lines(
        "0, GPU-23486e1c-5389-c922-6c60-405f7c30247d, Tesla P100-PCIE-16GB, 16280, 16280, [N/A]",
        "WARNING: infoROM is corrupted at gpu 0000:0B:00.0",
      ),
    },
  },
} satisfies Record<string, Recording>;
