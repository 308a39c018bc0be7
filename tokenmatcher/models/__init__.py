"""The network: two stems, one ViT with T class tokens, and the three kinds of file that its weights come from."""
