"""Draw on the caller's picture with OpenCV and send it back: what moves is framed. Brings its own server.

python examples/draw.py                     # open the page it prints
"""

import cv2

import peer


async def draw(call: peer.Call) -> None:
    canvas = peer.PictureSource()
    call.show(canvas)
    background = cv2.createBackgroundSubtractorMOG2(history=100)
    async for picture in call.pictures():
        image = picture.array.copy()
        moving = cv2.dilate(background.apply(image), None, iterations=4)
        outlines, _ = cv2.findContours(moving, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        for outline in outlines:
            x, y, width, height = cv2.boundingRect(outline)
            if width * height > image.shape[0] * image.shape[1] / 200:
                cv2.rectangle(image, (x, y), (x + width, y + height), (255, 80, 0), 3)
        canvas.push(image)


peer.run(draw, name="painter")
