/**
 * What nvidia-smi has really said, from the terminals of people who wrote it down in public threads. Where a thread asks for
 * other columns than ours, its values are in our order here, and those it does not have are said to be added.
 *
 * Our query: index,uuid,name,memory.total,memory.free,mig.mode.current as csv,noheader,nounits.
 */
import type { Captured } from "../../src/train/system.js";

export interface Recording {
  /** Who recorded it, with what. */
  source: string;
  answer: Partial<Captured>;
}

const lines = (...all: string[]) => `${all.join("\n")}\n`;

export const RECORDINGS = {
  /** The query's own form, before MIG. Added: free memory as total less used, and MIG as such GPUs report it. */
  titanX: {
    source: "yihui-he, github.com/wookayin/gpustat/issues/5, October 2016; last column as in Syllo/nvtop#470",
    answer: {
      stdout: lines(
        "0, GPU-004f693d-767b-b215-b4a9-a18af0ffd643, GeForce GTX TITAN X, 12206, 11404, [N/A]",
        "1, GPU-86fe97db-bf54-a056-4e8d-9b07e1a298e7, GeForce GTX TITAN X, 12206, 2174, [N/A]",
        "2, GPU-2090c509-a97a-e2fe-68f4-cf9e874c36f2, GeForce GTX TITAN X, 12206, 5764, [N/A]",
        "3, GPU-f0e47078-b19f-a3ff-bf2e-03a4c5fe3c2a, GeForce GTX TITAN X, 12206, 5764, [N/A]",
        "4, GPU-637ac0be-f0e1-b056-bf28-b2c046e5e17e, GeForce GTX TITAN X, 12206, 5747, [N/A]",
        "5, GPU-4168500a-bee8-3b4d-ba1b-75289a4afdcd, GeForce GTX TITAN X, 12206, 5766, [N/A]",
        "6, GPU-92ce5025-17c0-7c83-d2eb-a697262d4c46, GeForce GTX TITAN X, 12206, 5755, [N/A]",
        "7, GPU-f199c9ea-65d8-5382-aefe-a9e8fb48057b, GeForce GTX TITAN X, 12206, 5764, [N/A]",
      ),
    },
  },
  /** On the host a GPU with MIG reports its whole memory. Added: free memory. */
  migOnHost: {
    source: "HAMi's blog, Dynamic MIG in Kubernetes, August 2026: 8 RTX PRO 6000, driver 610.43.02",
    answer: {
      stdout: lines(
        ...[
          "8b89b58e-b427-108d-ac50-06138d78fe78",
          "03a041b7-8abf-360a-d1a2-dfd70188cd5f",
          "ba09367f-dd50-32ca-e988-7ff66bece885",
          "30512c46-708b-f374-5698-ee24be6cd626",
          "4c395b7a-a7e6-d90f-1ced-d96e8dd68288",
          "04dc48d7-7048-aef5-ad36-f5db716e7668",
          "f4f5db98-143f-0a8d-47ce-956fab39a736",
          "f4c61521-240a-da09-2787-e576034e197e",
        ].map(
          (uuid, i) =>
            `${i}, GPU-${uuid}, NVIDIA RTX PRO 6000 Blackwell Server Edition, 97887, 97249, Enabled`,
        ),
      ),
    },
  },
  /** One of four with MIG. Added: name and memory. */
  migOnOne: {
    source:
      "jgehrcke, github.com/kubernetes-sigs/dra-driver-nvidia-gpu/pull/852, February 2026 (uuid and MIG mode)",
    answer: {
      stdout: lines(
        "0, GPU-ec845691-fb46-e16d-abfb-b135308cb39f, NVIDIA H100 80GB HBM3, 81559, 81075, Enabled",
        "1, GPU-91672fbd-4bc1-0434-a653-77a9501c84de, NVIDIA H100 80GB HBM3, 81559, 81075, Disabled",
        "2, GPU-b4199570-ed3c-2a6b-646a-af77be93eac5, NVIDIA H100 80GB HBM3, 81559, 81075, Disabled",
        "3, GPU-1a4dff29-ab6d-9f64-f125-8b7cebdaac4a, NVIDIA H100 80GB HBM3, 81559, 81075, Disabled",
      ),
    },
  },
  /** In a container that has a slice, the GPU's memory is nobody's business. Added: index, UUID, MIG mode. */
  migInContainer: {
    source: "derselbst, github.com/Stability-AI/StableSwarmUI/issues/388, June 2024: driver 535.161.08",
    answer: {
      stdout: lines(
        "0, GPU-7fdaf0a5-179b-f636-d15d-daf243e3ff16, NVIDIA A100-SXM4-80GB, [Insufficient Permissions], [Insufficient Permissions], Enabled",
      ),
    },
  },
  /** Unified memory. Added: index, UUID, name, MIG mode. */
  unifiedMemory: {
    source: "GO1984, github.com/mostlygeek/llama-swap/issues/782, May 2026: NVIDIA GB10",
    answer: {
      stdout: lines("0, GPU-00000000-0000-0000-0000-000000000000, NVIDIA GB10, [N/A], [N/A], [N/A]"),
    },
  },
  noDriver: {
    source: "weehal, github.com/anderskm/gputil/issues/26, August 2020: a query as csv, with its exit code",
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
      "Vincent-luo, github.com/warmshao/FasterLivePortrait/issues/8, July 2024; exit code as nvidia-smi documents it",
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
      "kler, github.com/anderskm/gputil/issues/55, April 2024; on stdout: github.com/mozilla/translations/issues/1167",
    answer: {
      code: 18,
      stdout: lines(
        "Failed to initialize NVML: Driver/library version mismatch",
        "NVML library version: 535.161",
      ),
    },
  },
  unknownError: {
    source: "lasers, github.com/ultrabug/py3status/issues/764, February 2017: driver 340.102",
    answer: { code: 255, stdout: lines("Failed to initialize NVML: Unknown Error") },
  },
  noSupportedGpu: {
    source: "varunrsekar, github.com/kubernetes-sigs/dra-driver-nvidia-gpu/issues/1008, April 2026",
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
    source: "cyril23, github.com/NVIDIA/open-gpu-kernel-modules/issues/862, July 2025",
    answer: { code: 6, stdout: lines("No devices were found") },
  },
  /** Nobody wrote down the exit code; 15 is the documented one for a GPU that is lost. */
  noHandle: {
    source:
      "DanielCoelho112, github.com/NVIDIA/open-gpu-kernel-modules/issues/387, October 2022: driver 520.61.05",
    answer: {
      code: 15,
      stdout: lines("Unable to determine the device handle for GPU 0000:0B:00.0: Unknown Error"),
    },
  },
  /** The list, the warning, and exit code 14. Added: UUID and free memory; the list of that thread is a table. */
  damagedInfoRom: {
    source: "ymazzer, github.com/NVIDIA/gpu-operator/issues/285, November 2021: driver 470.82.01",
    answer: {
      code: 14,
      stdout: lines(
        "0, GPU-d8b2f0f4-9d5f-4a3b-8d3a-1d0a3c5b7e10, Tesla P100-PCIE-16GB, 16280, 16280, [N/A]",
        "WARNING: infoROM is corrupted at gpu 0000:0B:00.0",
      ),
    },
  },
} satisfies Record<string, Recording>;
