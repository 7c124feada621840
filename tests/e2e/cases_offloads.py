# SPDX-License-Identifier: BSD-3-Clause
"""Ends whose kernels leave cutting and checksums to a card, as those of containers and virtual machines do."""
from clients import MB, download, upload
from harness import Stand, case, check, equal, own_stand

SIZE = 50 * MB


def whole_both_ways(lab):
    for family in (4, 6):
        download(lab, family, SIZE)
        upload(lab, family, SIZE)


def nothing_was_too_long(proxy):
    ports = proxy.stat()["ports"].values()
    equal([port["rx_oversize"] for port in ports], [0, 0], "rx_oversize of both ports")


@case(60)
@own_stand
def files_are_whole_though_the_ends_leave_cutting_to_their_cards(_):
    with Stand(up=("--offloads",)) as stand:
        with stand.proxy.counting() as grown:
            whole_both_ways(stand.lab)
        nothing_was_too_long(stand.proxy)
        frames = grown["translated"]
        # 200 MB in segments of 1,448 bytes are 145,000 frames, and every second one is acknowledged.
        check(frames < 100_000, f"{frames} frames for {4 * SIZE >> 20} MB: these were no super-frames")
        return f"{frames} frames for {4 * SIZE >> 20} MB"


@case(60)
@own_stand
def files_are_whole_though_one_super_frame_in_a_hundred_is_lost(_):
    with Stand(up=("--offloads",)) as stand:
        lossy = "numgen random mod 100 < 1 drop"
        with stand.lab.filter("client", lossy), stand.lab.filter("server", lossy):
            for family in (4, 6):
                download(stand.lab, family, 20 * MB)
                upload(stand.lab, family, 20 * MB)
        nothing_was_too_long(stand.proxy)


@case(60)
@own_stand
def two_workers_carry_super_frames(_):
    with Stand("--workers", "0-1", up=("--offloads",)) as stand:
        whole_both_ways(stand.lab)
        nothing_was_too_long(stand.proxy)
