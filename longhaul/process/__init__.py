"""What any process of ours needs: logs, a heartbeat, a clean shutdown, words for the terminal."""
