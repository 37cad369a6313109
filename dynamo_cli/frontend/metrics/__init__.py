"""What a frontend counts. Plain numbers on the hot path; Prometheus text only when it is asked for."""
