"""Records of nuScenes.json by the rules in docs/annotations.md, with nuscenes-devkit, numpy and pyquaternion.

Reads a JSON list of [ROOT, VERSION, SPLIT, OUT] from stdin, where SPLIT is one of the devkit's or a JSON list of scene names: loading
the devkit takes longer than all of them.
"""
import json
import os
import sys

import numpy as np
from nuscenes.nuscenes import NuScenes
from nuscenes.utils import splits
from pyquaternion import Quaternion

FRAMES = 25
SAMPLES = 5


def matrix(row):
    out = np.eye(4)
    out[:3, :3] = Quaternion(row["rotation"]).rotation_matrix
    out[:3, 3] = row["translation"]
    return out


class Maker:
    def __init__(self, root, version, split):
        self.root = root
        self.nusc = NuScenes(version=version, dataroot=root, verbose=False)
        self.names = set(json.loads(split) if split.startswith("[") else getattr(splits, split))

    def rows_of(self, sample, channel):
        data = self.nusc.get("sample_data", sample["data"][channel])
        ego = self.nusc.get("ego_pose", data["ego_pose_token"])
        sensor = self.nusc.get("calibrated_sensor", data["calibrated_sensor_token"])
        return ego, sensor

    def lidar_pose(self, sample):
        ego, sensor = self.rows_of(sample, "LIDAR_TOP")
        return matrix(ego) @ matrix(sensor)

    def frames(self, sample):
        token = sample["data"].get("CAM_FRONT", None)
        if token is None:
            return None
        names = []
        while token != "" and len(names) < FRAMES:
            row = self.nusc.get("sample_data", token)
            if len(names) in (0, 6, 12, 18, 24) and not row["is_key_frame"]:
                return None
            names.append(row["filename"])
            token = row["next"]
        return names if len(names) == FRAMES else None

    def messages(self, scene):
        path = os.path.join(self.root, "can_bus", f"{scene}_vehicle_monitor.json")
        if not os.path.exists(path):
            return []
        with open(path) as file:
            return json.load(file)

    def record(self, group, scene, names):
        poses = [self.lidar_pose(sample) for sample in group]
        back = np.linalg.inv(poses[0])
        points = [(back @ pose)[:2, 3] for pose in poses]
        traj = [value for x, y in points for value in (-x, y)]
        left, forward = traj[-2:]
        cmd = 1 if left >= 2 else 0 if left <= -2 else 2 if forward <= 2 else 3
        found = []
        messages = self.messages(scene)
        for sample in group if messages else []:
            best = messages[0]
            for message in messages[1:]:
                if abs(message["utime"] - sample["timestamp"]) < abs(best["utime"] - sample["timestamp"]):
                    best = message
                else:
                    break
            found.append(best)
        ego, sensor = self.rows_of(group[0], "CAM_FRONT")
        seen = np.linalg.inv(matrix(sensor)) @ np.linalg.inv(matrix(ego)) @ poses[-1][:, 3]
        pixel = np.array(sensor["camera_intrinsic"]) @ seen[:3]
        return {
            "frames": names,
            "traj": traj,
            "cmd": cmd,
            "speed": [message["vehicle_speed"] for message in found],
            "angle": [message["steering"] for message in found],
            "goal": list(pixel[:2] / pixel[2]),
            "z": seen[2],
        }

    def records(self):
        samples = sorted(self.nusc.sample, key=lambda row: (row["scene_token"], row["timestamp"]))
        out = []
        for i in range(len(samples)):
            group = samples[i : i + SAMPLES]
            if len(group) < SAMPLES or len({row["scene_token"] for row in group}) > 1:
                continue
            scene = self.nusc.get("scene", group[0]["scene_token"])["name"]
            if scene not in self.names:
                continue
            names = self.frames(group[0])
            if names is not None:
                out.append(self.record(group, scene, names))
        return out


for root, version, split, path in json.load(sys.stdin):
    with open(path, "w") as file:
        json.dump(Maker(root, version, split).records(), file)
