"""The pictures of the page, a file each. What is invalid is not drawn; what is doubted is drawn hollow and marked "?"."""
